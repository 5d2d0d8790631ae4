"""Drains an account in a process of its own that kills itself with SIGKILL at a named step. Run by test_crashes and
test_mail_batches.

python -m tests.ledger.crash STEP ACCOUNT_ID [STEP ACCOUNT_ID …]
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def _die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(function: Callable[..., Any]) -> Callable[..., Any]:
    return _die


def _after(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        function(*args, **kwargs)
        _die()

    return wrapped


def arm(step: str) -> None:
    """Replaces the function at that step by one that dies before or after its work."""
    from proctoring import deliveries, invitations, mailer
    from proctoring.ledger import draining, statements
    from proctoring.vendors import http

    when, _, place = step.partition(" ")
    wrap = {"before": _before, "after": _after}[when]
    owners: dict[str, tuple[Any, str]] = {
        "claim": (draining, "claim_many"),
        "opening the call": (statements, "open_calls"),
        "writing the request": (statements, "begin_sending"),
        "the exchange": (http, "exchange"),
        "judging the reply": (draining, "perform"),
        "settling": (draining, "settle_many"),
        "writing the outcome": (statements, "finish_all"),
        "the delivery": (deliveries, "apply_created"),
        "signing in": (mailer, "_signed_in"),
        "the envelope": (mailer, "_envelope"),
        "the body": (mailer._Steps, "_is_quiet"),
        "ending the message": (mailer._Steps, "_end_message"),
        "reading the answer": (mailer, "_answer"),
        "the good-bye": (mailer._Line, "leave"),
        "the mail": (mailer, "exchange"),
        "the invitation": (invitations, "apply_sent"),
    }
    owner, name = owners[place]
    setattr(owner, name, wrap(getattr(owner, name)))


def main(*pairs: str) -> None:
    """With one pair it is this process that dies, with several a child of it for each."""
    import django

    django.setup()
    steps = list(zip(pairs[::2], pairs[1::2], strict=True))
    for step, account_id in steps:
        child = os.fork() if len(steps) > 1 else 0
        if not child:
            drain_until(step, int(account_id))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"{step}: the process did not die of it")


def drain_until(step: str, account_id: int) -> None:
    from proctoring import ledger
    from proctoring.verbs import VERBS

    arm(step)
    ledger.drain(account_id, VERBS, worker="doomed", should_stop=lambda: False, seconds=10)
    sys.exit("the step was never reached")


if __name__ == "__main__":
    main(*sys.argv[1:])
