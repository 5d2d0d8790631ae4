"""What the navigation counts."""

from __future__ import annotations

from django.http import HttpRequest

from proctoring import attention
from proctoring.admin.base import user_of

MOST_SHOWN = 99


def attention_badge(request: HttpRequest) -> str:
    """How much in the user's teams waits for a person: what stopped or has no link, and paused accounts."""
    user = user_of(request)
    count = attention.number_waiting(user) + attention.ailing_accounts(user).count()
    return f"{MOST_SHOWN}+" if count > MOST_SHOWN else str(count or "")
