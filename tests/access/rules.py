"""The rule of every page: who may, and what happens then. A page without a rule fails the walk.

`{name}` in an address or a form stands for a row of our team (`site.Site.keys`). `page` is a GET, `press` a POST; a method
of an address without either is refused with 405. `right` is asked in our team where one of our rows is named, else in any team of
the visitor's; without it whoever signs in may. What a rule does not say follows from it (`walk.expected`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

from proctoring.policy import Right
from tests import factories

PLACE = re.compile(r"\{(\w+)\}")
NEW_PASSWORD = "a-long-and-odd-passphrase-42"
WHY = {"reason": "A reason"}
TOKEN = str(uuid4())


class Out(StrEnum):
    """What a request comes to."""

    SHOWN = "is shown"
    ACTS = "takes effect"
    LEADS_ON = "leads on, without an effect"
    TURNED_AWAY = "is turned away with 409"
    REFUSED = "is refused with 403"
    HIDDEN = "is hidden with 404"
    SIGN_IN = "is sent to sign in"
    NO_METHOD = "is refused with 405"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One address asked in one way. `nowhere` is the right that must be held somewhere before any row is looked at."""

    name: str
    method: str
    args: tuple[str, ...] = ()
    query: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    does: Out = Out.SHOWN
    right: Right | None = None
    nowhere: Right | None = None
    refused: Out = Out.REFUSED  # who is of the team and may not
    stranger: Out | None = Out.HIDDEN  # who is not of the team; None: as if no row were named
    outside: Out | None = None  # who is not let in at all; None: what all such pages do
    is_public: bool = False
    is_journalled: bool = True
    is_kept_in_session: bool = False  # the effect is what the visitor's session holds for the next page
    shows_secrets: bool = False
    but: Mapping[str, Out] = field(default_factory=dict)  # by a visitor's name

    @property
    def is_ours(self) -> bool:
        """Whether it is about rows of our team."""
        texts = [*self.args, *self.query.values(), *self.data.values()]
        return self.stranger is not None and any(PLACE.search(str(text)) for text in texts)

    def __str__(self) -> str:
        details = " ".join([*self.args, *(f"{k}={v}" for k, v in {**self.query, **self.data}.items())])
        return f"{self.method} {self.name} {details[:70]}".strip()


RULES: list[Rule] = []


def page(name: str, *args: str, **rule: Any) -> None:
    RULES.append(Rule(name=name, method="GET", args=args, **rule))


def press(name: str, *args: str, right: Right | None, data: Mapping[str, Any] | None = None, **rule: Any) -> None:
    """A POST; it takes effect and leaves a journal row unless the rule says otherwise."""
    RULES.append(Rule(name=name, method="POST", args=args, right=right, data=data or {}, **{"does": Out.ACTS, **rule}))


def ask(name: str, *args: str, right: Right | None, data: Mapping[str, Any] | None = None, **rule: Any) -> None:
    """A POST that only shows something."""
    press(name, *args, right=right, data=data, **{"does": Out.SHOWN, **rule})


# --- the first page, searching --------------------------------------------------------------------------------------------

page("home")
page("search", query={"q": "Ada"})
page("search", query={"q": "{link}"}, stranger=None)

# --- delivering -----------------------------------------------------------------------------------------------------------

CHOSEN = {"exam": "{exam}", "mode": "first", "source": "known", "candidates": "{candidate}"}
RETAKEN = {**CHOSEN, "mode": "retake", **WHY}
DELIVERS: dict[str, Any] = {"right": Right.DELIVER, "nowhere": Right.DELIVER}
page("deliver", **DELIVERS)
page("deliver", query={"exam": "{exam}"}, **DELIVERS)
press("deliver", data=CHOSEN, is_journalled=False, **DELIVERS)
press("deliver", data=RETAKEN, is_journalled=False, right=Right.RETAKE, nowhere=Right.DELIVER)
page("deliver_exams")
page("deliver_exams", query={"exam": "{exam}", "exam_words": "exam"}, right=Right.DELIVER)
ask("deliver_exam", data={"exam": "{exam}"}, right=Right.DELIVER)
ask("deliver_candidates", data={"exam": "{exam}", "words": "Ada"}, right=Right.DELIVER)
page("deliver_sample")
page("deliver_preview", "{draft}", right=Right.DELIVER)
press("deliver_preview", "{draft}", right=Right.DELIVER)
page("deliver_preview", "{again_draft}", right=Right.RETAKE)
press("deliver_preview", "{again_draft}", right=Right.RETAKE)
page("deliver_plan", "{draft}", right=Right.DELIVER)

# --- batches --------------------------------------------------------------------------------------------------------------

page("batch", "{batch}")
page("batch_progress", "{batch}")
page("batch_glance", "{batch}")
press("batch_cancel", "{batch}", right=Right.CANCEL, data=WHY)
page("batch_export", "{done_batch}", "csv", right=Right.DELIVER)
page("batch_export", "{done_batch}", "xlsx", right=Right.DELIVER)
press(
    *("batch_export", "{done_batch}", "csv"),
    right=Right.SHOW_PROCTOR_LINK,
    data={"proctor_links": "1"},
    shows_secrets=True,
)

# --- one delivery ---------------------------------------------------------------------------------------------------------

press("proctor_link", "{delivery}", right=Right.SHOW_PROCTOR_LINK, shows_secrets=True)
page("delivery", "{delivery}")
page("delivery_live", "{delivery}")
page("delivery_mail", "{delivery}", right=Right.INVITE)
page("as_candidate", "{delivery}")
press("delivery_step", "{delivery}", "invite", right=Right.INVITE)
press("delivery_step", "{delivery}", "rehearse", right=Right.INVITE)
press("delivery_step", "{delivery}", "new-link", right=Right.INVITE)
press("delivery_step", "{delivery}", "revoke", right=Right.INVITE, data=WHY)
press("delivery_step", "{delivery}", "let-back-in", right=Right.RETAKE, data=WHY)
press("delivery_step", "{delivery}", "retake", right=Right.RETAKE, is_journalled=False, is_kept_in_session=True)
press("delivery_step", "{told}", "again", right=Right.INVITE)

# --- invitations ----------------------------------------------------------------------------------------------------------

page("invite", query={"batch": "{done_batch}"}, right=Right.INVITE)
page("invite")
press("invite", right=Right.INVITE, data={"token": TOKEN, "deliveries": "{delivery}"})
page("invitation", "{invitation}", right=Right.INVITE)
page("invited", "{invited}")
page("invited_progress", "{invited}")

# --- the candidate's own page ---------------------------------------------------------------------------------------------

OPEN: dict[str, Any] = {"right": None, "is_public": True}
UNTOLD = "c/<path:token>"  # the addresses without a name: what mail programs make of a link
for link in ("{link}", "{old_link}", "{revoked_link}", "{cancelled_link}"):
    page("candidate", link, **OPEN)
press("candidate", "{link}", **OPEN)
for link in ("{old_link}", "{revoked_link}", "{cancelled_link}"):
    press("candidate", link, does=Out.TURNED_AWAY, **OPEN)
for link in ("{forged_link}", "none"):
    page("candidate", link, does=Out.HIDDEN, **OPEN)
    press("candidate", link, does=Out.HIDDEN, **OPEN)
page(UNTOLD, "{link}>.", does=Out.HIDDEN, **OPEN)
press(UNTOLD, "{link}>.", does=Out.HIDDEN, **OPEN)
page("c/", does=Out.HIDDEN, **OPEN)
press("c/", does=Out.HIDDEN, **OPEN)

# --- exams ----------------------------------------------------------------------------------------------------------------

page("exam", "{sendable}")
page("exam", "{exam}")
page("exam_state", "{sendable}")
press("exam_send", "{sendable}", right=Right.EDIT_EXAMS, data=WHY)

# --- sessions -------------------------------------------------------------------------------------------------------------

SESSIONS = {"sessions": "{session}"}
DRAFTS: dict[str, Any] = {"is_journalled": False}
CONFIRMS = {"category": "technical", **WHY}
page("sessions")
page("sessions", query={"exam": "{exam}"}, stranger=None)
page("sessions_changes")
press("sessions_take_in", right=Right.DELIVER, data={"account": "{board}"}, is_journalled=False)
for verb, right in (("reset", Right.RESET), ("reopen", Right.REOPEN), ("retake", Right.RETAKE)):
    press("session_choose", right=right, data={"verb": verb, **SESSIONS}, stranger=Out.LEADS_ON, **DRAFTS)
    press("session_action_retry", f"{{{verb}_batch}}", right=Right.CANCEL, data=WHY)
    press("session_action_again", f"{{{verb}_draft}}", right=right, **DRAFTS)
for verb, right in (
    ("reset", Right.RESET),
    ("reopen", Right.REOPEN),
    ("retake", Right.RETAKE),
    ("submit_responses", Right.SUBMIT_RESPONSES),
):
    draft, batch = f"{{{verb}_draft}}", f"{{{verb}_batch}}"
    page("session_action", draft)
    press("session_action", draft, right=right, data=CONFIRMS)
    page("session_action", batch)
    press("session_action", batch, right=right, data=CONFIRMS, does=Out.LEADS_ON)
    page("session_action_progress", batch)
    press("session_action_cancel", batch, right=Right.CANCEL, data=WHY)
    page("session_action_report", batch, "csv")
    page("session_action_report", draft, "xlsx")
press("session_action_retry", "{submit_responses_batch}", right=Right.SUBMIT_RESPONSES, data=WHY)
ask("session_action_again", "{submit_responses_draft}", right=Right.SUBMIT_RESPONSES, does=Out.LEADS_ON)
press("session_action_reopen", "{reset_batch}", right=Right.REOPEN, **DRAFTS)
press("session_kept", "{kept}", right=Right.RESET)
page("session", "{session}")
page("session_live", "{session}")
press("session_read", "{session}", right=Right.DELIVER, is_journalled=False)
press("session_questions", "{session}", right=Right.SEE_QUESTIONS)
page("session_responses", "{session}", right=Right.SUBMIT_RESPONSES, does=Out.LEADS_ON)
press("session_responses", "{session}", right=Right.SUBMIT_RESPONSES)
press("session_responses", "{session}", right=Right.SUBMIT_RESPONSES, data={"set": "1", "q0": "1"}, **DRAFTS)

# --- what needs attention -------------------------------------------------------------------------------------------------

FOUND = {"found-ref": str(uuid4()), "found-launch_token": "abc", **WHY}
STEPS: Sequence[tuple[str, str, Right, Mapping[str, Any]]] = (
    ("{unknown}", "look_up", Right.DELIVER, {}),
    ("{unknown}", "send_again", Right.RESOLVE, WHY),
    ("{unknown}", "found", Right.RESOLVE, FOUND),
    ("{unknown}", "pick", Right.RESOLVE, {"choice": "0", **WHY}),
    ("{unknown}", "cancel", Right.CANCEL, WHY),
    ("{unknown_reopen}", "happened", Right.RESOLVE, WHY),
    ("{mail}", "happened", Right.RESOLVE, WHY),
    ("{failed}", "retry", Right.DELIVER, WHY),
    ("{failed_reset}", "retry", Right.RESET, WHY),
    ("{failed_reopen}", "retry", Right.REOPEN, WHY),
    ("{failed}", "cancel", Right.CANCEL, WHY),
    ("{queued}", "cancel", Right.CANCEL, WHY),
)
page("attention")
for action, step, right, answers in STEPS:
    page("attention_step", action, step, right=right)
    press("attention_step", action, step, right=right, data=answers)
MANY: dict[str, Any] = {"stranger": Out.LEADS_ON, "refused": Out.LEADS_ON}  # the next page says why not
press("attention_many", right=Right.CANCEL, data={"step": "cancel", "actions": "{failed}", **WHY}, **MANY)
page("attention_link", "{linkless}", "ask", right=Right.RETAKE)
press("attention_link", "{linkless}", "ask", right=Right.RETAKE, data=WHY)
page("attention_link", "{linkless}", "enter", right=Right.RESOLVE)
press("attention_link", "{linkless}", "enter", right=Right.RESOLVE, data=FOUND)

# --- the admin: the addresses that every model has ------------------------------------------------------------------------

MODELS = (
    *("account", "action", "batch", "call", "candidate", "delivery", "exam", "journalentry", "session", "team"),
    "user",
)
ROWS = {"user": "viewer"}  # which of our rows stands for a model, where it is not the one of its name
ADDS = {"candidate": Right.EDIT_CANDIDATES, "exam": Right.EDIT_EXAMS, "account": Right.MANAGE_ACCOUNTS}
CHANGES = {**ADDS, "team": Right.MANAGE_TEAM, "user": Right.MANAGE_TEAM}
ADDS["user"] = Right.MANAGE_TEAM

PERSON = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com", "extra_time_percent": "0"}
EXAM = {"title": "Widgets", "ref": str(uuid4()), "settings-external_id": "uuid", "duration_minutes": "90"}
KEYS = '[{"key": "Given name", "source": "first_name", "is_required": true}]'
EXAM |= {"settings-examinee_info": KEYS, "settings-meta": '{"centre": "North"}', "settings-form_id": ""}
ACCOUNT: dict[str, Any] = {
    "name": "New one",
    "base_url": "http://127.0.0.1:9",
    "calls_at_once": "3",
    "poll_seconds": "0",
}
ACCOUNT |= {"granted": ["create", "view"], "credentials-token": "bmV3LXRva2VuLW9mLXRlc3Rz"}
COLLEAGUE = {"username": "newcomer", "usable_password": "true", "time_zone": "UTC"}
COLLEAGUE |= {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
MEMBER = {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "0", "memberships-0-role": "viewer"}
NO_MEMBERS = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
REFERENCES = {"references-TOTAL_FORMS": "0", "references-INITIAL_FORMS": "0"}


def admin(model: str, place: str) -> str:
    return f"admin:proctoring_{model}_{place}"


def unnamed(model: str) -> str:
    """The address below a list that has no name: it leads on to the row's form."""
    return f"admin/proctoring/{model}/<path:object_id>/"


for model in MODELS:
    row = f"{{{ROWS.get(model, model)}}}"
    page(admin(model, "changelist"), right=Right.VIEW)
    ask(admin(model, "changelist"), right=Right.VIEW)
    page(admin(model, "change"), row)
    page(admin(model, "history"), row)
    ask(admin(model, "history"), row, right=None)
    page(admin(model, "delete"), row, does=Out.REFUSED)
    ask(admin(model, "delete"), row, right=None, data={"post": "yes"}, does=Out.REFUSED)
    page(unnamed(model), row, does=Out.LEADS_ON, stranger=None)
    ask(unnamed(model), row, right=None, does=Out.LEADS_ON, stranger=None)
    if model not in ADDS and model != "team":
        page(admin(model, "add"), does=Out.REFUSED)
        ask(admin(model, "add"), right=None, does=Out.REFUSED)
    if model not in CHANGES:
        ask(admin(model, "change"), row, right=None, does=Out.REFUSED)

# --- the admin: what may be added and changed -----------------------------------------------------------------------------

SUPERUSERS: dict[str, Any] = {"does": Out.REFUSED}
page(admin("candidate", "add"), right=Right.EDIT_CANDIDATES)
press(
    admin("candidate", "add"),
    right=Right.EDIT_CANDIDATES,
    data={"team": "{team}", **PERSON},
    stranger=Out.SHOWN,
    nowhere=Right.EDIT_CANDIDATES,
)
press(admin("candidate", "change"), "{candidate}", right=Right.EDIT_CANDIDATES, data={**PERSON, **REFERENCES})
page(admin("exam", "add"), right=Right.EDIT_EXAMS)
press(
    admin("exam", "add"),
    right=Right.EDIT_EXAMS,
    nowhere=Right.EDIT_EXAMS,
    data={"account": "{account}", "shown_vendor": "scorpion", **EXAM},
)
press(admin("exam", "change"), "{exam}", right=Right.EDIT_EXAMS, data=EXAM)
page(admin("account", "add"), right=Right.MANAGE_ACCOUNTS)
CHOSEN_ACCOUNT: dict[str, Any] = {"query": {"team": "{team}", "vendor": "scorpion"}, "nowhere": Right.MANAGE_ACCOUNTS}
page(admin("account", "add"), right=Right.MANAGE_ACCOUNTS, **CHOSEN_ACCOUNT)
press(admin("account", "add"), right=Right.MANAGE_ACCOUNTS, data=ACCOUNT, **CHOSEN_ACCOUNT)
press(admin("account", "change"), "{account}", right=Right.MANAGE_ACCOUNTS, data=ACCOUNT)
press("admin:proctoring_account_check", "{account}", right=Right.MANAGE_ACCOUNTS)
page(admin("user", "add"), right=Right.MANAGE_TEAM)
press(
    admin("user", "add"),
    right=Right.MANAGE_TEAM,
    nowhere=Right.MANAGE_TEAM,
    stranger=Out.SHOWN,
    data={**COLLEAGUE, **MEMBER, "memberships-0-team": "{team}"},
)
OWN: dict[str, Any] = {"but": {"viewer": Out.ACTS}}  # everybody mends their own details
press(
    admin("user", "change"),
    "{viewer}",
    right=Right.MANAGE_TEAM,
    data={"username": "renamed", "time_zone": "UTC", **NO_MEMBERS},
    **OWN,
)
PASSWORDS = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
ASKS_OLD = {"viewer": Out.LEADS_ON}  # one's own is changed by whoever knows the old one
for spelling in ("{viewer}", "0{viewer}", " {viewer}", "+{viewer}"):
    page("admin:auth_user_password_change", spelling, right=Right.MANAGE_TEAM, but=ASKS_OLD)
    press("admin:auth_user_password_change", spelling, right=Right.MANAGE_TEAM, data=PASSWORDS, but=ASKS_OLD)
TEAM = {"name": "Renamed", "time_zone": "UTC"}
page(admin("team", "add"), does=Out.REFUSED, but={"superuser": Out.SHOWN})
press(
    admin("team", "add"),
    right=None,
    data={**TEAM, **MEMBER, "memberships-0-user": "{viewer}"},
    stranger=None,
    does=Out.REFUSED,
    but={"superuser": Out.ACTS},
)
press(admin("team", "change"), "{team}", right=Right.MANAGE_TEAM, data={**TEAM, **NO_MEMBERS})

# --- the admin: what is done to many --------------------------------------------------------------------------------------


def act(model: str, action: str, right: Right | None, *, row: str = "", **rule: Any) -> None:
    """An action of a list. Who may not is not offered it, and asking for it all the same does nothing."""
    data = {"action": action, "_selected_action": f"{{{row or model}}}", **rule.pop("data", {})}
    nothing = {"refused": Out.LEADS_ON, "stranger": Out.LEADS_ON}
    press(admin(model, "changelist"), right=right, data=data, nowhere=Right.VIEW, **{**nothing, **rule})


for model in MODELS:
    act(model, "delete_selected", None, does=Out.LEADS_ON, row=ROWS.get(model, ""))
CHOICE: dict[str, Any] = {"is_kept_in_session": True, "is_journalled": False}
act("candidate", "deliver", Right.DELIVER, **CHOICE)
act("exam", "deliver", Right.DELIVER, does=Out.LEADS_ON)
act("delivery", "invite", Right.INVITE, **CHOICE)
act("delivery", "cancel_waiting", Right.CANCEL, row="requested", does=Out.SHOWN)
act("delivery", "cancel_waiting", Right.CANCEL, row="requested", data={"confirmed": "1", **WHY})
for verb, right in (("reset", Right.RESET), ("reopen", Right.REOPEN), ("retake", Right.RETAKE)):
    act("session", verb, right, **DRAFTS)

press("admin:proctoring_delivery_proctor_link", "{delivery}", right=Right.SHOW_PROCTOR_LINK, shows_secrets=True)

# --- the admin: signing in and the rest -----------------------------------------------------------------------------------

ABOUT: dict[str, Any] = {"app_label": "proctoring", "model_name": "exam", "field_name": "account", "term": ""}
APP, REST = "admin/^(?P<app_label>proctoring)/$", "admin/(?P<url>.*)$"
page("admin:index", does=Out.LEADS_ON)
ask("admin:index", right=None, does=Out.LEADS_ON)
page("admin:app_list", "proctoring", does=Out.LEADS_ON)
ask("admin:app_list", "proctoring", right=None, does=Out.LEADS_ON)
page("admin:autocomplete", query=ABOUT, right=Right.VIEW)
page("admin:jsi18n")
page("admin:search", query={"s": "exam"}, does=Out.HIDDEN)
ask("admin:search", right=None, does=Out.HIDDEN)
page(REST, "nowhere/", does=Out.HIDDEN)
ask(REST, "nowhere/", right=None, does=Out.HIDDEN)
page("admin:login", does=Out.LEADS_ON, outside=Out.SHOWN)
ask("admin:login", right=None, outside=Out.SHOWN, data={"username": "root", "password": "wrong"})
page("admin:logout", does=Out.NO_METHOD, outside=Out.LEADS_ON)
press("admin:logout", right=None, is_journalled=False, is_kept_in_session=True, outside=Out.LEADS_ON)
page("admin:password_change")
OLD_AND_NEW = {"old_password": factories.PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
press("admin:password_change", right=None, data=OLD_AND_NEW)
page("admin:password_change_done")
ask("admin:password_change_done", right=None, does=Out.NO_METHOD)
