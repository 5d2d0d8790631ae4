"""What an outcome says about its account: paused once with one alert, held back, or working again."""

from __future__ import annotations

import logging
from datetime import datetime

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.urls import reverse

from proctoring import journal, policy
from proctoring.ledger.claiming import Claim, Kind
from proctoring.ledger.waking import wake
from proctoring.models import Account, Membership, Role
from proctoring.vendors.base import Verb
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope, Unavailable

log = logging.getLogger(__name__)


def learn(claim: Claim, error: Exception | None, *, now: datetime, proves_health: bool) -> None:
    """Writes to the account what this call's outcome says about it, in the settling transaction."""
    if isinstance(error, Misconfigured):
        _learn_misconfigured(claim, error, now)
    elif isinstance(error, Unavailable | OutcomeUnknown):
        if not (isinstance(error, Unavailable) and error.is_about_target):
            _hold(claim, error, now)
    elif proves_health or (isinstance(error, Rejected) and error.status is not None):
        _resume(claim, now)


def has_nothing_to_learn(claim: Claim) -> bool:
    """Whether a success says nothing new: the account was well when the call was claimed."""
    account = claim.account
    return not (account.is_paused or account.paused_verbs or account.failures_in_a_row or account.suspicion)


def _learn_misconfigured(claim: Claim, error: Misconfigured, now: datetime) -> None:
    if error.suspected and not is_second_suspect(claim, error):
        target = str(claim.actions[0].target_id) if claim.actions else ""
        Account.objects.filter(pk=claim.account.pk).update(suspicion={"target": target, "at": now.isoformat()})
    elif error.scope is Scope.ACCOUNT:
        _pause(claim, error, now)
    else:
        _pause_verb(claim, error, now)


def is_second_suspect(claim: Claim, error: Misconfigured) -> bool:
    """Whether another target failed alike before, so that the account and not the target is at fault."""
    before = claim.account.suspicion.get("target")
    return bool(before and claim.actions and before != str(claim.actions[0].target_id))


def _same_credentials(claim: Claim) -> dict[str, object]:
    """An answer says nothing about credentials that were saved after its call was claimed."""
    return {"pk": claim.account.pk, "credentials_changed_at": claim.account.credentials_changed_at}


def _pause(claim: Claim, error: Misconfigured, now: datetime) -> None:
    account = Account.objects.filter(**_same_credentials(claim))
    first = account.filter(paused_at=None).update(paused_at=now, pause_reason=error.message, is_probing=False)
    if not first:
        account.update(pause_reason=error.message, is_probing=False)
        return
    journal.record("account.paused", claim.account, team=claim.account.team_id, at=now, status=error.status)
    log.error("Account %s is paused: %s", claim.account.pk, error.message)
    _alert(claim.account, f"The account {claim.account.name} is paused", error.message)


def _pause_verb(claim: Claim, error: Misconfigured, now: datetime) -> None:
    account = Account.objects.select_for_update(no_key=True).filter(**_same_credentials(claim)).first()
    if account is None:
        return
    verb = Verb(claim.call.verb)  # a look-up's own verb, not that of what it looks up
    was = account.paused_verbs.get(verb)
    pauses = {**account.paused_verbs, verb.value: {"reason": error.message, "at": now.isoformat()}}
    Account.objects.filter(pk=account.pk).update(paused_verbs=pauses)
    if was is None:
        facts = {"verb": verb.value, "status": error.status}
        journal.record("account.verb_paused", account, team=account.team_id, at=now, **facts)
        _alert(account, f"{account.name} may not {policy.words(verb)}", error.message)


def _hold(claim: Claim, error: Unavailable | OutcomeUnknown, now: datetime) -> None:
    """A vendor that does not answer is asked ever less often, by the whole account."""
    account = Account.objects.select_for_update(no_key=True).get(pk=claim.account.pk)
    failures = account.failures_in_a_row + 1
    until = policy.hold_until(failures, now=now, retry_after=getattr(error, "retry_after", None))
    until = max(until, account.next_call_at or until)
    Account.objects.filter(pk=account.pk).update(failures_in_a_row=failures, next_call_at=until)


def _resume(claim: Claim, now: datetime) -> None:
    account = claim.account
    if account.failures_in_a_row:
        Account.objects.filter(pk=account.pk, failures_in_a_row__gt=0).update(failures_in_a_row=0)
    if account.suspicion:
        Account.objects.filter(pk=account.pk).update(suspicion={})
    if account.is_paused and (account.is_probing or claim.kind is Kind.CHECK):
        _end_pause(claim, now)
    if claim.call.verb in account.paused_verbs:
        _end_verb_pause(claim, now)


def _end_pause(claim: Claim, now: datetime) -> None:
    paused = Account.objects.filter(**_same_credentials(claim)).exclude(paused_at=None)
    if paused.update(paused_at=None, pause_reason="", is_probing=False):
        journal.record("account.resumed", claim.account, team=claim.account.team_id, at=now)
        wake(claim.account.pk, calls=claim.account.calls_at_once)


def _end_verb_pause(claim: Claim, now: datetime) -> None:
    account = Account.objects.select_for_update(no_key=True).get(pk=claim.account.pk)
    pauses = {verb: pause for verb, pause in account.paused_verbs.items() if verb != claim.call.verb}
    Account.objects.filter(pk=account.pk).update(paused_verbs=pauses)
    journal.record("account.verb_resumed", account, team=account.team_id, at=now, verb=claim.call.verb)
    wake(account.pk, calls=account.calls_at_once)


def _alert(account: Account, subject: str, message: str) -> None:
    """One mail to those who can mend it, after the commit: whatever fails there must not cost the outcome."""
    transaction.on_commit(lambda: _send_alert(account, subject, message), robust=True)


def _send_alert(account: Account, subject: str, message: str) -> None:
    to = list(
        Membership.objects.filter(team_id=account.team_id, role=Role.ADMINISTRATOR)
        .exclude(user__email="")
        .values_list("user__email", flat=True)
    )
    address = settings.SITE_URL + reverse("admin:proctoring_account_change", args=[account.pk])
    body = f"{message}\n\nNothing is lost: what is queued waits until it works again.\nMend it here: {address}\n"
    if to:
        send_mail(f"[{account.team.name}] {subject}", body, None, to, fail_silently=True)
