"""Invitations: written, previewed, asked for, sent once. Mail goes through the ledger like any other effect."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import icalendar
import idna
from django.conf import settings
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.template.loader import render_to_string

from proctoring import journal, ledger, links, mailer, policy, values
from proctoring.models import (
    Account,
    Action,
    Batch,
    Delivery,
    DeliveryState,
    Invitation,
    User,
)
from proctoring.models.action import OPEN_STATES, ActionState
from proctoring.vendors import registry
from proctoring.vendors.base import Message, Verb

MAIL = "mail"
KIND = "invite"  # of a batch
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


class Refused(Exception):
    """Nothing was asked for; the message says why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One message as it would go out."""

    delivery: Delivery
    to: str
    subject: str
    text: str
    html: str
    calendar: str


def account_of(team_id: int) -> Account:
    """The team's mail account, made when it is first needed; administrators set its limits."""
    known = Account.objects.filter(team_id=team_id, vendor=MAIL).order_by("is_archived", "pk").first()
    if known is not None:
        return cast(Account, known)
    name = "Mail" if not Account.objects.filter(team_id=team_id, name="Mail").exists() else "Mail to candidates"
    facts = {"vendor": MAIL, "base_url": registry.facts(MAIL).base_url, "calls_at_once": 4}
    account, _ = Account.objects.get_or_create(team_id=team_id, name=name, defaults=facts)
    return account


# --- who may be invited -----------------------------------------------------------------------------------------------


def refusal(delivery: Delivery, now: datetime) -> str:
    """Why this candidate cannot be invited now; "" where they can. The delivery comes with exam and candidate."""
    if delivery.state == DeliveryState.CANCELLED:
        return "The delivery is cancelled."
    if delivery.state != DeliveryState.CREATED:
        return "The vendor has not created the delivery yet."
    if not delivery.take_url:
        return "The vendor gave no take link, so there is nothing to invite to."
    if delivery.is_revoked:
        return "The candidate's link is revoked. Make a new one first."
    if delivery.exam.has_closed(now):
        return "The exam's window has closed."
    if not address_of(delivery.candidate.email):
        return "Mail servers do not take the candidate's e-mail address as it is written. Correct it first."
    return ""


def address_of(text: str) -> str:
    """An e-mail address in the letters that every mail server takes; "" where it cannot be written in them."""
    name, at, domain = text.rpartition("@")
    try:
        plain = name + at + (domain if domain.isascii() else idna.encode(domain, uts46=True).decode())
    except idna.IDNAError:
        return ""
    return plain if mailer.is_address(plain) else ""


def without_invitation(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Those that have no invitation, sent or under way."""
    ids = [delivery.pk for delivery in deliveries]
    invited = Invitation.objects.filter(delivery__in=ids, is_rehearsal=False).exclude(
        actions__state=ActionState.CANCELLED
    )
    have = set(invited.values_list("delivery", flat=True))
    return [delivery for delivery in deliveries if delivery.pk not in have]


# --- writing ----------------------------------------------------------------------------------------------------------


def write(delivery: Delivery, *, to: str = "", now: datetime, is_again: bool | None = None) -> Draft:
    """The message for a delivery, in the candidate's own time zone. Never a vendor's link, a token, a PIN or a password.

    `is_again` says that the candidate got one before; None: look it up.
    """
    zone = zone_of(delivery)
    exam, team = delivery.exam, delivery.team
    context = {
        # Values, not rows: a template cannot show what it is not given.
        "candidate": _lines(delivery.candidate, "first_name", "last_name"),
        "exam": {"title": one_line(exam.title), "instructions": exam.instructions},
        "team": _lines(team, "name", "phone", "reply_to"),
        "url": links.url_of(delivery),
        "code": delivery.code,
        "zone": zone.key,
        "starts": _with_place(exam.starts_at, zone),
        "ends": _with_place(exam.ends_at, zone),
        "minutes": minutes_of(delivery),
        "is_moved": is_again if is_again is not None else delivery.pk in _told([delivery]),
    }
    return Draft(
        delivery=delivery,
        to=to or delivery.candidate.email,
        subject=one_line(f"Your exam: {exam.title}")[:200],
        text=_rendered("proctoring/mail/invitation.txt", context),
        html=_rendered("proctoring/mail/invitation.html", context),
        calendar=calendar(delivery, now=now),
    )


def _lines(row: Model, *names: str) -> dict[str, str]:
    return {name: one_line(getattr(row, name)) for name in names}


def _told(deliveries: Sequence[Delivery]) -> set[UUID]:
    """Those whose candidate got a message before."""
    ids = [delivery.pk for delivery in deliveries]
    sent = Invitation.objects.filter(delivery__in=ids, is_rehearsal=False).exclude(sent_at=None)
    return set(sent.values_list("delivery", flat=True))


def _rendered(template: str, context: dict[str, Any]) -> str:
    """Plain text, not marked safe: a page that shows it must escape it."""
    return str.__str__(render_to_string(template, context))


def zone_of(delivery: Delivery) -> zoneinfo.ZoneInfo:
    """The candidate's time zone, else the exam's."""
    for name in (delivery.candidate.time_zone, delivery.exam.time_zone, "UTC"):
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # unknown, no name at all, a folder of zones
            continue
    raise AssertionError("UTC is always there")


def minutes_of(delivery: Delivery) -> int | None:
    """How long the candidate has, with their extra time."""
    minutes, percent = delivery.exam.duration_minutes, delivery.candidate.extra_time_percent
    return None if minutes is None else -(-minutes * (100 + percent) // 100)


def local(moment: datetime | None, zone: zoneinfo.ZoneInfo) -> str:
    """A time as a candidate reads it: with the weekday, and CEST where the zone has letters, else UTC+05:45."""
    if moment is None:
        return ""
    there = moment.astimezone(zone)
    name, offset = there.tzname() or "", f"{there:%z}"
    letters = name if name.isalpha() else f"UTC{offset[:3]}:{offset[3:5]}"
    return f"{there:%A}, {there.day} {there:%B %Y, %H:%M} {letters}"


def _with_place(moment: datetime | None, zone: zoneinfo.ZoneInfo) -> str:
    return f"{local(moment, zone)} ({zone.key})" if moment else ""


def one_line(text: str) -> str:
    """Text that is safe in a header: no line breaks, no control or direction characters."""
    return " ".join(UNSAFE.sub(" ", text).split())


def calendar(delivery: Delivery, *, now: datetime) -> str:
    """An iCalendar file with a UID that stays: a moved window updates the entry. "" where the exam has no window."""
    exam = delivery.exam
    if exam.starts_at is None:
        return ""
    event = icalendar.Event()
    event.add("uid", f"{delivery.pk}@{urlsplit(settings.SITE_URL).hostname}")
    event.add("sequence", int(now.timestamp()) - EPOCH)
    event.add("dtstamp", now)
    event.add("dtstart", exam.starts_at.astimezone(UTC))
    event.add("dtend", (exam.ends_at or exam.starts_at + timedelta(minutes=minutes_of(delivery) or 60)).astimezone(UTC))
    event.add("summary", one_line(exam.title))
    event.add("description", f"Your link: {links.url_of(delivery)}\nReference: {delivery.code}")
    event.add("url", links.url_of(delivery))
    whole = icalendar.Calendar()
    whole.add("prodid", "-//Proctoring console//EN")
    whole.add("version", "2.0")
    whole.add("method", "PUBLISH")
    whole.add_component(event)
    text: str = whole.to_ical().decode()
    return text


EPOCH = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())  # SEQUENCE grows with each second, from here


def compose(invitation: Invitation, *, sender: str, reply_to: str, now: datetime) -> str:
    """The whole message as RFC 5322 writes it; its Message-ID is the invitation's own."""
    message = EmailMessage(policy=SMTP)
    # Text that looks like an encoded word would be decoded here, with the line breaks in it.
    message["Subject"] = invitation.subject.replace("=?", "= ?")
    message["From"] = sender
    message["To"] = Address(addr_spec=address_of(invitation.to))
    if reply_to:
        message["Reply-To"] = Address(addr_spec=address_of(reply_to))
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{invitation.pk}@{sender.rpartition('@')[2].strip('>')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(invitation.text, charset="utf-8", cte="quoted-printable")
    message.add_alternative(invitation.html, subtype="html", charset="utf-8", cte="quoted-printable")
    if invitation.calendar:
        message.add_attachment(
            invitation.calendar.encode(),
            maintype="text",
            subtype="calendar",
            filename="exam.ics",
            params={"charset": "utf-8", "method": "PUBLISH"},
        )
    return message.as_bytes().decode("ascii", "surrogateescape")


# --- asking -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def request(
    deliveries: Sequence[Delivery],
    *,
    by: User | None,
    now: datetime,
    batch_id: UUID | None = None,
    rehearse_to: str = "",
    is_again: bool = False,
) -> Batch:
    """Asks for one message a delivery, of those that can be invited now; a second press (same `batch_id`) changes nothing.

    Without `is_again` who has an invitation gets none. Raises Refused where nobody can be invited.
    """
    fresh = _locked(deliveries)
    if not fresh:
        raise Refused("Choose at least one delivery.")
    team = fresh[0].team
    if batch_id is not None and (known := Batch.objects.filter(pk=batch_id).first()) is not None:
        if (known.team_id, known.kind) != (team.pk, KIND):
            raise Refused("This page was used for something else already. Open it again, then send.")
        return cast(Batch, known)
    account = account_of(team.pk)
    if sentence := _refusal_of_all(fresh, account, rehearse_to):
        raise Refused(sentence)
    wanted = [delivery for delivery in fresh if not refusal(delivery, now)]
    if not rehearse_to and not is_again:
        wanted = without_invitation(wanted)
    if not rehearse_to:
        wanted = _not_under_way(wanted)
    if not wanted:
        raise Refused("None of these candidates can be invited now, or all have an invitation.")
    batch = Batch(team=team, kind=KIND, by=by, created_at=now, confirmed_at=now, exam=wanted[0].exam)
    batch.pk = batch_id or batch.pk
    batch.save(force_insert=True)
    if not rehearse_to:
        _replace_stopped(wanted, by=by, now=now)
    _ask(wanted, batch, account, by=by, now=now, rehearse_to=rehearse_to)
    return batch


def _locked(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """The deliveries as they are now. Who asks at the same time waits here, and then sees what we asked for."""
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).order_by("pk")
    related = rows.select_related("exam", "candidate", "team")
    return list(related.select_for_update(of=("self",), no_key=True))


def _refusal_of_all(deliveries: Sequence[Delivery], account: Account, rehearse_to: str) -> str:
    """Why no message at all can be asked for; "" where some can."""
    team = deliveries[0].team
    if any(delivery.team_id != team.pk for delivery in deliveries):
        return "Choose deliveries of one team: its mail account sends them, and answers go to its address."
    if rehearse_to and not address_of(rehearse_to):
        return "Mail servers do not take the address that the rehearsal should go to. Correct it first."
    if team.reply_to and not address_of(team.reply_to):
        return "Mail servers do not take the team's reply-to address as it is written. Correct it first."
    return policy.account_refusal(values.facts_of_account(account), Verb.SEND_MESSAGE, "") or ""


def _not_under_way(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Those of which no message moves or may have gone. One that certainly did not go stands in nobody's way."""
    busy = _open_actions(deliveries).exclude(NOT_GONE)
    ids = set(busy.values_list("invitation__delivery", flat=True))
    return [delivery for delivery in deliveries if delivery.pk not in ids]


NOT_GONE = Q(state=ActionState.NEEDS_ATTENTION, may_have_acted=False)


def _open_actions(deliveries: Sequence[Delivery]) -> QuerySet[Action]:
    about = Action.objects.filter(invitation__delivery__in=[delivery.pk for delivery in deliveries])
    return about.filter(invitation__is_rehearsal=False, state__in=OPEN_STATES)


def _replace_stopped(deliveries: Sequence[Delivery], *, by: User | None, now: datetime) -> None:
    """Ends what did not go: the address was wrong, say, and the new message goes to another."""
    for action in _open_actions(deliveries).filter(NOT_GONE).order_by("id"):
        ledger.cancel(action, by=by, reason="A newer message takes its place.", now=now)


def _ask(
    deliveries: Sequence[Delivery], batch: Batch, account: Account, *, by: User | None, now: datetime, rehearse_to: str
) -> None:
    told = _told(deliveries)
    written = [write(item, to=rehearse_to, now=now, is_again=item.pk in told) for item in deliveries]
    invitations = [_invitation(draft, by, now, bool(rehearse_to)) for draft in written]
    Invitation.objects.bulk_create(invitations, batch_size=200)
    drafts = [
        ledger.Draft(target=invitation, payload=_payload(invitation, batch.team.reply_to, now))
        for invitation in invitations
    ]
    ledger.request(drafts, account=account, verb=Verb.SEND_MESSAGE, by=by, now=now, batch=batch)
    journal.record_all(
        [
            journal.entry(
                "invitation.requested",
                invitation.delivery,
                team=batch.team_id,
                at=now,
                by=by,
                invitation=str(invitation.pk),
                rehearsal=bool(rehearse_to),
            )
            for invitation in invitations
        ]
    )


def _invitation(draft: Draft, by: User | None, now: datetime, is_rehearsal: bool) -> Invitation:
    return Invitation(
        team_id=draft.delivery.team_id,
        delivery=draft.delivery,
        to=draft.to,
        subject=draft.subject,
        text=draft.text,
        html=draft.html,
        calendar=draft.calendar,
        link_version=draft.delivery.link_version,
        is_rehearsal=is_rehearsal,
        by=by,
        created_at=now,
    )


def _payload(invitation: Invitation, reply_to: str, now: datetime) -> Any:
    sender = settings.DEFAULT_FROM_EMAIL
    message = Message(
        reference=invitation.pk,
        sender=sender.rpartition("<")[2].strip(">"),
        to=address_of(invitation.to),
        body=compose(invitation, sender=sender, reply_to=reply_to, now=now),
    )
    return values.pack(values.MessagePayload(message=message))


# --- what came of it --------------------------------------------------------------------------------------------------


def apply_sent(action: Action, *, now: datetime) -> None:
    """The mail server took the message."""
    Invitation.objects.filter(actions=action, sent_at=None).update(sent_at=now)
