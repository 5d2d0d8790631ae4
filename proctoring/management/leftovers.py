"""What a former `run` left running when it was killed: its processes outlive it, hold its ports and go on working."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4


class Note:
    """The processes of this `run`, by name, in a file, so that the next one can say what is left of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._running: dict[str, tuple[int, str]] = {}

    def add(self, name: str, pid: int, command: str) -> None:
        """`command` are words by which the process is known again: another may have its number by then."""
        self._running[name] = (pid, command)
        draft = self.path.with_name(f"{self.path.name}.{uuid4()}")
        try:
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(self._running))
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def left_running(self) -> Mapping[str, int]:
        """Those of the former run that still run, by name. Raises ValueError or OSError where the file cannot be read."""
        try:
            noted = json.loads(self.path.read_bytes())
            return {name: pid for name, (pid, command) in noted.items() if command in _command_of(int(pid))}
        except FileNotFoundError:
            return {}
        except (AttributeError, TypeError, RecursionError):
            raise ValueError("it holds no processes") from None

    def set_aside(self) -> Path:
        return self.path.replace(self.path.with_name(f"{self.path.name}.{uuid4()}.broken"))


def _command_of(pid: int) -> str:
    """The command line of another process; "" where there is none, or it has ended."""
    if pid == os.getpid():
        return ""
    if not Path("/proc/self/cmdline").exists():
        ps = ["ps", "-o", "command=", "-p", str(pid)]
        return subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
