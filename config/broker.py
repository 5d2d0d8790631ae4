"""Celery's broker in files, for where there is no other: as kombu has it, but a message appears only once it is whole.

kombu creates the file first and writes it then. A worker that looks between the two reads an empty message, calls that an
unrecoverable error, and ends.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
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
