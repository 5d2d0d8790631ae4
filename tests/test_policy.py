"""What may be done, the sentence why not, and when to try again: pure, so every rule is asked for directly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from proctoring import policy
from proctoring.models import OPEN_STATES, ActionState, Role
from proctoring.policy import AccountFacts, AttemptFacts, ExamFacts, Right, SessionFacts
from proctoring.vendors.base import Objection, Verb

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class TestRights:
    def test_grow_with_the_role(self) -> None:
        sets = [policy.RIGHTS[role] for role in Role]

        assert all(less < more for less, more in pairwise(sets))

    @pytest.mark.parametrize("right", Right)
    def test_are_each_somebodys(self, right: Right) -> None:
        least = policy.least_role(right)

        assert policy.may(least, right)
        assert policy.may(Role.ADMINISTRATOR, right)

    @pytest.mark.parametrize(
        ("right", "role"),
        [
            (Right.VIEW, Role.VIEWER),
            (Right.DELIVER, Role.COORDINATOR),
            (Right.INVITE, Role.COORDINATOR),
            (Right.REOPEN, Role.COORDINATOR),
            (Right.RETAKE, Role.COORDINATOR),
            (Right.RESET, Role.LEAD),
            (Right.SUBMIT_RESPONSES, Role.LEAD),
            (Right.CANCEL, Role.LEAD),
            (Right.RESOLVE, Role.LEAD),
            (Right.MANAGE_ACCOUNTS, Role.ADMINISTRATOR),
            (Right.MANAGE_TEAM, Role.ADMINISTRATOR),
        ],
    )
    def test_begin_at_the_role_of_the_design(self, right: Right, role: Role) -> None:
        assert policy.least_role(right) == role

    @pytest.mark.parametrize("role", [None, "", "stranger", "VIEWER"])
    def test_are_none_without_a_known_role(self, role: str | None) -> None:
        assert not any(policy.may(role, right) for right in Right)


class TestTheLifeOfAnAction:
    def test_knows_every_state(self) -> None:
        assert set(policy.TRANSITIONS) == set(ActionState)

    @pytest.mark.parametrize("state", ActionState)
    def test_ends_in_states_that_are_not_open(self, state: ActionState) -> None:
        assert policy.is_final(state) == (state not in OPEN_STATES)

    @pytest.mark.parametrize(
        ("state", "other"),
        [
            ("done", "queued"),
            ("done", "cancelled"),
            ("cancelled", "queued"),
            ("unknown", "sending"),
            ("unknown", "needs_attention"),
            ("sending", "cancelled"),
            ("queued", "done"),
            ("queued", "unknown"),
        ],
    )
    def test_has_no_shortcuts(self, state: str, other: str) -> None:
        assert not policy.may_become(state, other)

    @pytest.mark.parametrize("state", sorted(set(OPEN_STATES)))
    def test_leads_from_every_open_state_to_an_end(self, state: str) -> None:
        reached, todo = set[str](), [state]
        while todo:
            reached.add(here := todo.pop())
            todo += [other for other in policy.TRANSITIONS[here] if other not in reached]

        assert "done" in reached


class TestRetryAt:
    def test_waits_longer_with_every_try(self) -> None:
        waits = [policy.retry_at(tries, now=NOW, retry_after=None) for tries in range(1, policy.MAX_TRIES)]

        assert all(wait is not None for wait in waits)
        assert waits == sorted(wait for wait in waits if wait is not None)
        assert waits[0] == NOW + timedelta(seconds=2)
        assert waits[-1] == NOW + timedelta(minutes=15)

    def test_never_asks_before_the_vendor_said(self) -> None:
        assert policy.retry_at(1, now=NOW, retry_after=120.0) == NOW + timedelta(seconds=120)
        assert policy.retry_at(5, now=NOW, retry_after=1.0) == NOW + timedelta(seconds=60)

    @pytest.mark.parametrize("tries", [policy.MAX_TRIES, policy.MAX_TRIES + 1])
    def test_ends(self, tries: int) -> None:
        assert policy.retry_at(tries, now=NOW, retry_after=None) is None


class TestHoldUntil:
    def test_doubles_up_to_a_minute(self) -> None:
        waits = [(policy.hold_until(n, now=NOW, retry_after=None) - NOW).total_seconds() for n in (1, 2, 3, 6, 7, 5000)]

        assert waits == [1, 2, 4, 32, 60, 60]

    def test_gives_the_vendor_the_time_it_asks_for(self) -> None:
        assert policy.hold_until(1, now=NOW, retry_after=300.0) == NOW + timedelta(seconds=300)


class TestCountsAsAbsent:
    @pytest.mark.parametrize(("seconds", "expected"), [(0, False), (299, False), (300, True), (3600, True)])
    def test_needs_five_minutes_since_sending(self, seconds: int, expected: bool) -> None:
        looked_at = NOW + timedelta(seconds=seconds)

        assert policy.counts_as_absent(sent_at=NOW, looked_at=looked_at) is expected


class TestAccountRefusal:
    @pytest.mark.parametrize(
        ("facts", "words"),
        [
            ({"is_archived": True}, "archived"),
            ({"has_credentials": False}, "no credentials yet"),
            ({"is_paused": True, "pause_reason": "The vendor said 401."}, "is paused: The vendor said 401."),
            ({"paused_verbs": {Verb.CREATE_DELIVERIES: "403: no."}}, "may not do this: 403: no."),
            ({"permissions": frozenset({"view"})}, "was not granted the permission “create”"),
        ],
    )
    def test_says_why(self, facts: dict[str, Any], words: str) -> None:
        sentence = policy.account_refusal(AccountFacts(name="North", **facts), Verb.CREATE_DELIVERIES, "create")

        assert sentence is not None
        assert words in sentence
        assert "North" in sentence

    @pytest.mark.parametrize(
        "facts",
        [
            {},
            {"permissions": frozenset({"create", "view"})},
            {"paused_verbs": {Verb.REISSUE_LINK: "403"}},
        ],
    )
    def test_says_nothing_where_it_can(self, facts: dict[str, Any]) -> None:
        assert policy.account_refusal(AccountFacts(name="North", **facts), Verb.CREATE_DELIVERIES, "create") is None

    def test_asks_for_no_permission_where_the_verb_needs_none(self) -> None:
        facts = AccountFacts(name="North", permissions=frozenset({"view"}))

        assert policy.account_refusal(facts, Verb.CHECK, "") is None


class TestExamRefusal:
    def _refusal(self, *, needs_ref: bool = True, **facts: Any) -> str | None:
        defaults = {"ref": "ref", "is_archived": False, "starts_at": None, "ends_at": None}
        return policy.exam_refusal(ExamFacts(**{**defaults, **facts}), now=NOW, needs_ref=needs_ref)

    @pytest.mark.parametrize(
        ("facts", "words"),
        [
            ({"is_archived": True}, "archived"),
            ({"ref": ""}, "no vendor's reference"),
            ({"ends_at": NOW}, "window has closed"),
            ({"ends_at": NOW - timedelta(days=1)}, "window has closed"),
        ],
    )
    def test_says_why(self, facts: dict[str, Any], words: str) -> None:
        assert words in (self._refusal(**facts) or "")

    @pytest.mark.parametrize(
        "facts",
        [{}, {"ends_at": NOW + timedelta(seconds=1)}, {"starts_at": NOW + timedelta(days=9)}, {"starts_at": NOW}],
    )
    def test_lets_deliver_before_the_window_opens_and_while_it_is_open(self, facts: dict[str, Any]) -> None:
        assert self._refusal(**facts) is None

    def test_needs_no_reference_where_the_vendor_makes_it(self) -> None:
        assert self._refusal(ref="", needs_ref=False) is None


class TestAttemptRefusal:
    @pytest.mark.parametrize(
        ("facts", "is_retake", "words"),
        [
            ({"latest": 1, "latest_is_created": True}, False, "Choose “retake”"),
            ({"latest": 1}, False, "Has a delivery"),
            ({}, True, "nothing to retake"),
            ({"latest": 2}, True, "Attempt 2 is not settled yet"),
            ({"latest": 1, "latest_is_created": True, "has_open_action": True}, True, "not settled yet"),
        ],
    )
    def test_says_why(self, facts: dict[str, Any], is_retake: bool, words: str) -> None:
        assert words in (policy.attempt_refusal(AttemptFacts(**facts), is_retake=is_retake) or "")

    def test_lets_a_first_attempt_and_the_retake_of_a_settled_one_be_made(self) -> None:
        settled = AttemptFacts(latest=1, latest_is_created=True)

        assert policy.attempt_refusal(AttemptFacts(), is_retake=False) is None
        assert policy.attempt_refusal(settled, is_retake=True) is None


class TestSplitObjections:
    OBJECTIONS = (
        Objection(field="email", message="No e-mail."),
        Objection(field="accommodations", message="Extra time.", can_be_arranged=True),
    )

    def test_asks_only_for_what_can_be_arranged(self) -> None:
        assert policy.split_objections(self.OBJECTIONS, is_arranged=False) == (["No e-mail."], ["Extra time."])

    def test_asks_nothing_once_it_is_arranged_but_refuses_the_rest(self) -> None:
        assert policy.split_objections(self.OBJECTIONS, is_arranged=True) == (["No e-mail."], [])


class TestCodeIn:
    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("PIN: 4711", "PIN"),
            ("Your pin code is 12-34.", "pin code"),
            ("The password is “sunshine”", "password"),
            ("Password: sunshine\nBe on time.", "Password"),
            ("key code = KX7TT2", "key code"),
            ("Use the access code AB12CD to start.", "access code"),
            ("Das Kennwort lautet 'Birnbaum'.", "Kennwort"),
            ("Mot de passe : soleil", "Mot de passe"),
        ],
    )
    def test_finds_what_gives_one_away(self, text: str, word: str) -> None:
        assert policy.code_in(text) == word

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "You will be asked for a PIN. Your invigilator hands it out.",
            "Password: see the letter that you got.",
            "The key code is on the slip.",
            "Your password is valid for 30 minutes.",
            "Have your identity card ready; room 204, 09:00.",
            "A spinning top is not permitted. Pin your hair back.",
        ],
    )
    def test_leaves_alone_what_only_speaks_of_one(self, text: str) -> None:
        assert policy.code_in(text) == ""


class TestSessionRefusal:
    @pytest.mark.parametrize(
        ("facts", "verb", "words"),
        [
            ({"has_open_action": True}, Verb.RESET, "under way"),
            ({"was_read": False}, Verb.RESET, "not been read"),
            ({"state": "in_progress"}, Verb.REOPEN, "open already"),
            ({"allows_retakes": False}, Verb.RETAKE, "does not allow retakes"),
            ({"allows_retakes": True, "vendor_allows_retakes": False}, Verb.RETAKE, "vendor says"),
        ],
    )
    def test_says_why(self, facts: dict[str, Any], verb: Verb, words: str) -> None:
        assert words in (policy.session_refusal(SessionFacts(**{"state": "submitted", **facts}), verb) or "")

    @pytest.mark.parametrize("verb", policy.SESSION_RIGHTS)
    def test_says_nothing_where_it_can(self, verb: Verb) -> None:
        assert policy.session_refusal(SessionFacts(state="submitted", allows_retakes=True), verb) is None


class TestWords:
    @pytest.mark.parametrize("verb", [verb for verb in Verb if verb.is_effect])
    def test_exist_for_every_effect(self, verb: Verb) -> None:
        assert policy.words(verb) == policy.WORDS[verb]

    def test_fall_back_to_the_verb(self) -> None:
        assert policy.words(Verb.FIND_DELIVERIES) == "find deliveries"

    @pytest.mark.parametrize(
        ("facts", "words"),
        [
            ({"has_responses": True, "score": 81.5}, "all answers and the score 81.5"),
            ({"has_responses": False}, "no answers and no score"),
            ({}, "any answers there are and no score"),
        ],
    )
    def test_say_what_a_reset_loses(self, facts: dict[str, Any], words: str) -> None:
        assert policy.what_a_reset_loses(SessionFacts(state="submitted", **facts)) == words

    def test_warn_of_a_reset_of_a_reopening_and_of_a_retake_that_may_not_be_allowed(self) -> None:
        session = SessionFacts(state="submitted")

        assert all(policy.session_warnings(session, verb) for verb in (Verb.RESET, Verb.REOPEN, Verb.RETAKE))
        assert policy.session_warnings(SessionFacts(state="submitted", allows_retakes=True), Verb.RETAKE) == []


class TestIsInExam:
    @pytest.mark.parametrize("state", ["in_progress", "paused", "suspended"])
    def test_goes_by_the_vendors_word(self, state: str) -> None:
        assert policy.is_in_exam(state, now=NOW)

    @pytest.mark.parametrize("state", ["submitted", "complete"])
    def test_believes_the_vendor_that_it_is_over_whatever_was_pressed_here(self, state: str) -> None:
        assert not policy.is_in_exam(state, opened_at=NOW, now=NOW)

    @pytest.mark.parametrize("state", ["", "unknown", "not_reported", "not_started"])
    def test_goes_by_the_time_they_have_where_the_vendor_says_nothing(self, state: str) -> None:
        hour = timedelta(hours=1)

        assert policy.is_in_exam(state, opened_at=NOW - timedelta(minutes=59), lasts=hour, now=NOW)
        assert not policy.is_in_exam(state, opened_at=NOW - hour, lasts=hour, now=NOW)
        assert policy.is_in_exam(state, opened_at=NOW - 3 * hour, now=NOW)
        assert not policy.is_in_exam(state, now=NOW)
