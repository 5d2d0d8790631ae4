"""Accounts: added, given credentials, tested, paused verbs let go again."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import idna
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery

from proctoring import journal, ledger
from proctoring.models import Account, Call, User
from proctoring.vendors import http, registry

_INSIDE = {"localhost", "local", "internal", "lan", "intranet", "home", "corp"}
_NO_URL = re.compile(r"[\s\\\x00-\x20\x7f]")


def check_url(url: str) -> str:
    """The URL without a trailing slash. Raises ValidationError unless it is https and public.

    ALLOW_LOCAL_VENDORS lets http and private addresses through. Names are checked again when they are resolved.
    """
    try:
        parts = urlsplit(url.strip())
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValidationError("This is not a URL: its host or its port cannot be read.") from None
    if parts.scheme not in {"https", "http"} or not host or _NO_URL.search(url.strip()):
        raise ValidationError("Enter a whole URL, such as https://vendor.example.com")
    if "@" in parts.netloc:
        raise ValidationError("Leave user name and password out of the URL; credentials have fields of their own.")
    if parts.query or parts.fragment:
        raise ValidationError("Enter the URL without “?” and “#”.")
    if not settings.ALLOW_LOCAL_VENDORS:
        _check_public(parts.scheme, host)
    return url.strip().rstrip("/")


def _check_public(scheme: str, host: str) -> None:
    if scheme != "https":
        raise ValidationError("The URL must begin with https:// — credentials are sent there.")
    if not _is_public(host.rstrip(".")):
        raise ValidationError("The URL must be a public address, not one inside this network.")


def _is_public(host: str) -> bool:
    try:
        return http.is_public(host)
    except ValueError:
        last = host.rpartition(".")[2]
        # A name that ends in a number is an IPv4 address to the resolver, such as 127.1 or 0x7f.0.0.1.
        return "." in host and not last.startswith(tuple("0123456789")) and last not in _INSIDE


Origin = tuple[str, str, int | None]
_PORTS = {"https": 443, "http": 80}
_WEB_ADDRESS = re.compile(r"\s{0,9}(https?):[/\\]{0,9}", re.IGNORECASE)


def origin(url: str) -> Origin | None:
    """Scheme, host and port that the HTTP client would call; None where there is no such address."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return None
    if not host:
        return None
    return parts.scheme.lower(), _plain_host(host), port or _PORTS.get(parts.scheme.lower())


def _plain_host(host: str) -> str:
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        pass
    try:
        return host if host.isascii() else idna.encode(host, uts46=True).decode().removesuffix(".")
    except idna.IDNAError:
        return host


def new_addresses(account: Account, *, base_url: str, settings: Mapping[str, Any]) -> list[str]:
    """Which of an account's addresses would lead to where none of its own leads yet: `base_url`, or names of settings.

    Whoever may change an account may not learn its credentials: what is stored is not sent, nor are its candidates, to a
    new address; the credentials are to be entered again, all of them.
    """
    found = [] if origin(base_url) == origin(account.base_url) else ["base_url"]
    known = {origin(base_url), origin(account.base_url), *_origins(account.settings).values()}
    return found + [name for name, there in _origins(settings).items() if there not in known]


def _origins(settings: Mapping[str, Any]) -> dict[str, Origin | None]:
    """The settings that are web addresses, as a browser reads them: it needs no slashes."""
    texts = {name: str(value) for name, value in settings.items()}
    return {
        name: origin(_WEB_ADDRESS.sub(r"\1://", text, count=1))
        for name, text in texts.items()
        if _WEB_ADDRESS.match(text)
    }


@transaction.atomic
def add(account: Account, *, credentials: Mapping[str, str], by: User | None, now: datetime) -> Account:
    """Saves a new account with its first credentials. Raises ValidationError by field."""
    account.credentials = dict(credentials)
    account.credentials_changed_at = now
    account.full_clean()
    try:
        account.base_url = check_url(account.base_url)
    except ValidationError as error:
        raise ValidationError({"base_url": error.messages}) from None
    account.save(force_insert=True)
    journal.record("account.added", account, team=account.team_id, at=now, by=by, vendor=account.vendor)
    return account


@transaction.atomic
def set_credentials(account: Account, credentials: Mapping[str, str], *, by: User | None, now: datetime) -> None:
    """Saves new credentials. What was paused lets one action through first; the rest follow its success."""
    row = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    pauses = {verb: {**pause, "probing": True} for verb, pause in row.paused_verbs.items()}
    Account.objects.filter(pk=row.pk).update(
        credentials=dict(credentials),
        credentials_changed_at=now,
        is_probing=row.is_paused,
        paused_verbs=pauses,
        suspicion={},
        failures_in_a_row=0,
        next_call_at=None,
    )
    account.refresh_from_db()
    journal.record("account.credentials", account, team=account.team_id, at=now, by=by, fingerprint=account.fingerprint)
    ledger.wake(account.pk)


@transaction.atomic
def set_permissions(account: Account, permissions: Sequence[str], *, by: User | None, now: datetime) -> None:
    """Records which rights the vendor granted; a verb that was paused for want of one is tried again."""
    row = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    pauses = {verb: {**pause, "probing": True} for verb, pause in row.paused_verbs.items()}
    Account.objects.filter(pk=row.pk).update(permissions=sorted(permissions), paused_verbs=pauses)
    account.refresh_from_db()
    facts: dict[str, Any] = {"permissions": sorted(permissions)}
    journal.record("account.changed", account, team=account.team_id, at=now, by=by, **facts)
    ledger.wake(account.pk)


@transaction.atomic
def ask_check(account: Account, *, by: User | None, now: datetime) -> None:
    """Asks a worker to test the account; the answer appears on it."""
    Account.objects.filter(pk=account.pk).update(check_due_at=now, check_message="", checked_at=None)
    journal.record("account.check_asked", account, team=account.team_id, at=now, by=by)
    ledger.wake(account.pk)


def last_answers(accounts: Iterable[Account]) -> dict[int, datetime]:
    """When the vendor last answered well to the credentials that an account has now, by account."""
    well = Call.objects.filter(account=OuterRef("pk"), status__gte=200, status__lt=300, ended_at__isnull=False)
    well = well.filter(Q(ended_at__gt=OuterRef("credentials_changed_at")) | Q(account__credentials_changed_at=None))
    latest = Subquery(well.order_by("-ended_at").values("ended_at")[:1])
    rows = Account.objects.filter(pk__in=[account.pk for account in accounts]).order_by().values_list("pk", latest)
    return {key: at for key, at in rows if at is not None}


def warnings(account: Account) -> Sequence[str]:
    """Sentences about the account that its people should read, e.g. rights granted and not used."""
    facts = registry.facts(account.vendor)
    if account.permissions:
        used = {item.permission for item in facts.capabilities.values() if item.permission}
        unused = sorted(set(account.permissions) - used)
        if unused:
            return [f"The vendor granted more than this console uses: {', '.join(unused)}. Take it away there."]
    return []
