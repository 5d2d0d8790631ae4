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


Function = Callable[..., Any]


def _before(function: Function, applies: Function) -> Function:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if applies(*args):
            _die()
        return function(*args, **kwargs)

    return wrapped


def _after(function: Function, applies: Function) -> Function:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if applies(*args):
            _die()
        return result

    return wrapped


def _always(*args: Any) -> bool:
    return True


def arm(step: str) -> None:
    """Replaces the function at that step by one that dies before or after its work."""
    from proctoring import deliveries, invitations, mailer
    from proctoring.ledger import draining, statements, turns
    from proctoring.vendors import http

    when, _, place = step.partition(" ")
    wrap = {"before": _before, "after": _after}[when]
    owners: dict[str, tuple[Any, str, Function]] = {
        "claim": (draining, "take_turn", lambda account, verbs, returned: not returned),
        "opening the call": (statements, "open_calls", _always),
        "writing the request": (statements, "begin_sending", _always),
        "the exchange": (http, "exchange", _always),
        "judging the reply": (draining, "perform", _always),
        "settling": (draining, "take_turn", lambda account, verbs, returned: bool(returned)),
        "writing the outcome": (turns, "_write_and_look", lambda account, writes, most: bool(writes)),
        "the delivery": (deliveries, "writing_created", bool),
        "signing in": (mailer, "_signed_in", _always),
        "the envelope": (mailer, "_envelope", _always),
        "the body": (mailer._Steps, "_is_quiet", _always),
        "ending the message": (mailer._Steps, "_end_message", _always),
        "reading the answer": (mailer, "_answer", _always),
        "the good-bye": (mailer._Line, "leave", _always),
        "the mail": (mailer, "exchange", _always),
        "the invitation": (invitations, "apply_sent", _always),
    }
    owner, name, applies = owners[place]
    setattr(owner, name, wrap(getattr(owner, name), applies))


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
