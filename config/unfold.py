"""How the shared shell looks: title, navigation, colours."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _is_home(request: HttpRequest) -> bool:
    return request.path == str(reverse_lazy("home"))


def _starts_with(name: str) -> Any:
    """Whether the page is below another; by default unfold asks whether the link occurs anywhere in the path."""
    return lambda request: request.path.startswith(str(reverse_lazy(name)))


def _page(title: str, icon: str, name: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(name), "active": _starts_with(name), **more}


def _list(title: str, icon: str, model: str) -> dict[str, Any]:
    return _page(title, icon, f"admin:proctoring_{model}_changelist")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Proctoring console",
    "SITE_HEADER": "Proctoring console",
    "SITE_SUBHEADER": "Exams, links and sessions",
    "SITE_SYMBOL": "fact_check",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "STYLES": [lambda request: static("proctoring/shell.css"), lambda request: static("proctoring/search.css")],
    "SCRIPTS": [lambda request: static("proctoring/rows.js"), lambda request: static("proctoring/copy.js")],
    "COLORS": {
        # A quiet teal: dark enough at 600 for white text on it, light enough at 500 for text on a dark ground.
        "primary": {
            "50": "oklch(98% .012 200)",
            "100": "oklch(95% .028 200)",
            "200": "oklch(90% .05 202)",
            "300": "oklch(83% .08 205)",
            "400": "oklch(75% .1 208)",
            "500": "oklch(68% .1 212)",
            "600": "oklch(50% .09 218)",
            "700": "oklch(44% .08 220)",
            "800": "oklch(38% .066 222)",
            "900": "oklch(33% .055 224)",
            "950": "oklch(24% .045 226)",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {"title": "Home", "icon": "home", "link": reverse_lazy("home"), "active": _is_home},
                    _page("Deliver", "send", "deliver"),
                    _page(
                        "Needs attention",
                        "notification_important",
                        "attention",
                        badge="proctoring.admin.navigation.attention_badge",
                        badge_variant="danger",
                    ),
                ],
            },
            {
                "title": "Plan",
                "separator": True,
                "items": [
                    _list("Exams", "quiz", "exam"),
                    _list("Candidates", "groups", "candidate"),
                    _list("Deliveries", "assignment_ind", "delivery"),
                    _page("Sessions", "videocam", "sessions"),
                ],
            },
            {
                "title": "Set up",
                "separator": True,
                "items": [
                    _list("Accounts", "vpn_key", "account"),
                    _list("Teams", "diversity_3", "team"),
                    _list("People", "person", "user"),
                ],
            },
            {
                "title": "Ledger",
                "separator": True,
                "collapsible": True,
                "items": [
                    _list("Actions", "bolt", "action"),
                    _list("Calls", "swap_vert", "call"),
                    _list("Batches", "stacks", "batch"),
                    _list("Journal", "history", "journalentry"),
                ],
            },
        ],
    },
}
