"""Files with credentials, names and links are their owner's alone: on a shared machine every local user could read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
EVERYTHING_NEW_IS_PRIVATE = 0o077


def keep_private(*paths: Path) -> None:
    """Makes what this process writes from now on its owner's alone, and these files and folders with all in them, too.

    A folder that is closed already is not walked again. What belongs to somebody else stays as it is: `open_to_others`
    tells.
    """
    os.umask(EVERYTHING_NEW_IS_PRIVATE)
    for path in paths:
        if is_open_to_others(path):
            for inner in _within(path):
                _close(inner)
            _close(path)  # last: as long as it is open, a next start begins again


def is_open_to_others(path: Path) -> bool:
    try:
        return bool(path.lstat().st_mode & OTHERS) and not path.is_symlink()
    except OSError:
        return False


def _within(path: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files))


def _close(path: Path) -> None:
    try:
        if is_open_to_others(path):
            path.chmod(path.lstat().st_mode & ~OTHERS)
    except OSError:  # somebody else's, or gone meanwhile
        pass
