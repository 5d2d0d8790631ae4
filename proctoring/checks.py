"""What `manage.py check` says of this installation beside what Django itself does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from config.private import is_open_to_others


@register(Tags.security)
def files_are_private(**kwargs: Any) -> Sequence[CheckMessage]:
    """Files that we could not close ourselves: somebody else's, or the one with the settings."""
    files: list[Path] = [settings.BASE_DIR / ".env", *settings.PRIVATE_FILES]
    return [
        Warning(
            f"{path} can be read or written by other users of this machine.",
            hint=f"It holds credentials or people's details: chmod go= {path}",
            id="proctoring.W001",
        )
        for path in files
        if is_open_to_others(path)
    ]
