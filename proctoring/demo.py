"""The demo team: people, a sandbox account and exams at each vendor, a few candidates. Loading it twice changes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from proctoring import accounts, exams
from proctoring.models import Account, Candidate, Exam, Membership, Role, Team, User
from proctoring.vendors import registry

TEAM = "Demo team"
PASSWORD = "practise-here"  # noqa: S105 - published: the demo listens on this machine only
USERS = [
    ("coordinator", Role.COORDINATOR),
    ("lead", Role.LEAD),
    ("administrator", Role.ADMINISTRATOR),
    ("viewer", Role.VIEWER),
]
CANDIDATES = [
    ("Amos", "Burton", "amos.burton@example.com", "+1 555 0101", "C-1001", "America/New_York", 0),
    ("Zoë", "Müller-Lüdenscheidt", "zoe.mueller@example.com", "+49 30 5550102", "C-1002", "Europe/Berlin", 0),
    ("مریم", "رضایی", "maryam.rezaei@example.com", "", "C-1003", "Asia/Tehran", 0),
    ("Nguyễn", "Thị Hương", "huong.nguyen@example.com", "", "C-1004", "Asia/Ho_Chi_Minh", 0),
    ("Siobhán", "O’Neill", "siobhan.oneill@example.com", "+353 1 555 0105", "C-1005", "Europe/Dublin", 25),
    ("Tāne", "Wiremu", "tane.wiremu@example.com", "+64 4 555 0106", "C-1006", "Pacific/Auckland", 0),
]


@transaction.atomic
def load(*, sandbox_urls: dict[str, str], now: datetime) -> Team:
    """Makes what of the demo team is missing. Accounts point at the sandbox's addresses, by vendor."""
    team, _ = Team.objects.get_or_create(
        name=TEAM, defaults={"reply_to": "exams@example.com", "phone": "+1 555 0100", "time_zone": "Europe/Berlin"}
    )
    for username, role in USERS:
        _user(team, username, role)
    for first, last, email, phone, external_id, zone, extra in CANDIDATES:
        Candidate.objects.get_or_create(
            team=team,
            email=email,
            defaults={
                "first_name": first,
                "last_name": last,
                "phone": phone,
                "external_id": external_id,
                "time_zone": zone,
                "extra_time_percent": extra,
                "special_needs": bool(extra),
            },
        )
    for key, url in sandbox_urls.items():
        _account(team, key, url, now)
    return team


def _user(team: Team, username: str, role: Role) -> None:
    user, is_new = User.objects.get_or_create(
        username=username,
        defaults={
            "first_name": "Demo",
            "last_name": username,
            "email": f"{username}@example.com",
            "is_staff": True,
            "time_zone": "Europe/Berlin",
        },
    )
    if is_new:
        user.set_password(PASSWORD)
        user.save(update_fields=["password"])
    Membership.objects.get_or_create(user=user, team=team, defaults={"role": role})


def _account(team: Team, key: str, url: str, now: datetime) -> None:
    demo, title = registry.demo(key), registry.facts(key).title
    account = Account.objects.filter(team=team, name=f"{title} (sandbox)").first()
    if account is None:
        account = Account(
            team=team,
            name=f"{title} (sandbox)",
            vendor=key,
            base_url=url,
            settings=demo.SETTINGS,
            permissions=demo.PERMISSIONS,
            calls_at_once=8,
            poll_seconds=15,
        )
        accounts.add(account, credentials=demo.CREDENTIALS, by=None, now=now)
    elif account.base_url != url:  # the sandbox has moved to another port: only the demo's own credentials follow it
        Account.objects.filter(pk=account.pk).update(base_url=url)
        if account.credentials != demo.CREDENTIALS:
            accounts.set_credentials(account, demo.CREDENTIALS, by=None, now=now)
    for values in demo.EXAMS:
        _exam(account, values, now)


def _exam(account: Account, values: dict[str, Any], now: datetime) -> None:
    if Exam.objects.filter(account=account, title=values["title"]).exists():
        return
    details = {name: value for name, value in values.items() if name != "settings"}
    morning = now.replace(hour=8, minute=0, second=0, microsecond=0)
    exam = Exam(
        account=account,
        team=account.team,
        time_zone="Europe/Berlin",
        starts_at=morning - timedelta(days=1),
        ends_at=morning + timedelta(days=60),
        **details,
    )
    exams.save(exam, vendor_settings=values["settings"], by=None, now=now)
