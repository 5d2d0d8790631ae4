"""Celery's broker in files, for where there is no other.

kombu has one, but a file that is empty, cut off or no message ends the worker that reads it, and a table of queues that a
full disk cut off ends every process from then on. Here each message is written beside its place and put there whole; who
takes one renames it first; what cannot be read is set aside and said. Nothing is lost by that: a message is a hint, and
the next sweep gives it anew. There is no table: every process that sends declares the queue it sends to.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from queue import Empty
from time import monotonic, time, time_ns
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.utils.json import dumps, loads

log = logging.getLogger(__name__)

WAITING, WRITTEN, TAKEN = ".msg", ".part", ".taken"  # what a file's name ends in; only the first is looked for
KEEPS_SECONDS = 60.0
SWEEP_EVERY_SECONDS = 30.0

_swept: dict[Path, float] = {}  # when this process last swept a folder
_complained: dict[Path, float] = {}


class Channel(virtual.Channel):
    """A queue is what ends in its name, in one folder; the name begins with the time, so that order is kept."""

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        options = connection.client.transport_options
        self.folder = Path(options["folder"])
        # How old a hint, or what is left of one, may be: nobody heeds it after that.
        self.keeps_seconds = float(options.get("keeps_seconds", KEEPS_SECONDS))

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        self._sweep()
        part = self.folder / f"{uuid4()}{WRITTEN}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(dumps(message))
            part.replace(self.folder / f"{time_ns():020}_{uuid4()}.{queue}{WAITING}")
        except OSError as error:
            raise ChannelError(f"No message can be put into {self.folder}: {error.strerror}.") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        self._sweep()
        for path in self._waiting(queue):
            message = self._take(path)
            if message is not None:
                return message
        raise Empty

    def _take(self, path: Path) -> dict[str, Any] | None:
        taken = path.with_name(f"{path.name}{TAKEN}")
        try:
            path.replace(taken)
        except FileNotFoundError:
            return None  # another worker was faster
        except OSError as error:
            _complain(path.parent, f"{path} cannot be taken: {error.strerror}. Let its folder belong to this user.")
            return None
        try:
            message = self._read(taken)
        except Exception as error:  # whatever somebody left there
            log.warning(
                "%s is no message and was set aside (%r). Nothing is lost: work is found by the sweep.", path, error
            )
            return None
        with suppress(OSError):
            taken.unlink()
        return message

    def _read(self, path: Path) -> dict[str, Any]:
        """The message, which is one: what kombu asks of it when it hands it on is asked here."""
        message: dict[str, Any] = loads(path.read_bytes())
        known = self.Message(message, channel=self)
        if {"exchange", "routing_key"} - known.delivery_info.keys():
            raise ValueError("It says nothing of its way.")
        return message

    def _waiting(self, queue: str) -> list[Path]:
        try:
            paths = sorted(self.folder.iterdir())
        except FileNotFoundError:
            paths = []
        except OSError as error:
            raise ChannelError(f"{self.folder} cannot be read: {error.strerror}.") from error
        return [path for path in paths if path.name.partition(".")[2] == f"{queue}{WAITING}"]

    def _size(self, queue: str) -> int:
        return len(self._waiting(queue))

    def _purge(self, queue: str) -> int:
        waiting = self._waiting(queue)
        for path in waiting:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return len(waiting)

    def _sweep(self) -> None:
        """Deletes, now and then, what nobody will take any more: old hints, and what a full disk or a dead process left."""
        folder, now = self.folder, monotonic()
        if now < _swept.get(folder, -SWEEP_EVERY_SECONDS) + SWEEP_EVERY_SECONDS:
            return
        _swept[folder] = now
        with suppress(OSError):
            for path in folder.iterdir():
                with suppress(OSError):  # another process sweeps, too; a folder stays
                    if path.lstat().st_mtime < time() - self.keeps_seconds:
                        path.unlink()


def _complain(about: Path, sentence: str) -> None:
    """Says it once in a while: a worker looks ten times a second."""
    if monotonic() >= _complained.get(about, 0.0):
        _complained[about] = monotonic() + KEEPS_SECONDS
        log.error(sentence)


class Transport(virtual.Transport):
    Channel = Channel
    global_state = virtual.BrokerState()  # queues, for all connections of this process
    default_port = 0
    driver_type = driver_name = "filesystem"

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = self.global_state

    def driver_version(self) -> str:
        return "1"


TRANSPORT_ALIASES["filesystem"] = f"{__name__}:{Transport.__name__}"
