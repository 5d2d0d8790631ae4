"""Celery's broker in files, for where there is no other: as kombu has it, but nothing is read that is only half written.

kombu creates a file first and writes it then. A worker that looks between the two reads an empty message, or an empty table
of queues, calls that an unrecoverable error, and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

T = TypeVar("T")


def _once_whole(read: Callable[[], T]) -> T:
    """What `read` returns; while another process is still writing what it reads, it is tried again."""
    for _ in range(40):
        try:
            return read()
        except ValueError:
            sleep(0.05)
    return read()


class Channel(filesystem.Channel):
    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        bind = super()._queue_bind
        _once_whole(lambda: bind(exchange, routing_key, pattern, queue))

    def get_table(self, exchange: str) -> Any:
        look = super().get_table
        return _once_whole(lambda: look(exchange))

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:  # type: ignore[override]  # as kombu itself
        whole = Path(self.data_folder_out) / f"{round(monotonic() * 1000)}_{uuid4()}.{queue}.msg"
        part = whole.with_name(f"{whole.name}.part")  # a name that nobody looks for
        try:
            part.write_text(dumps(payload))
            part.replace(whole)
        except OSError as error:
            raise ChannelError(f"Cannot put a message into {whole.parent}") from error


class Transport(filesystem.Transport):
    Channel = Channel


TRANSPORT_ALIASES["filesystem"] = f"{__name__}:{Transport.__name__}"
