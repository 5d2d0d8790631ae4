from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from proctoring import questions, sessions, values
from proctoring.models import (
    Account,
    Action,
    ActionState,
    Attention,
    Batch,
    Exam,
    JournalEntry,
    Reading,
    Role,
    Session,
    Team,
    User,
)
from proctoring.vendors.base import SessionSnapshot, SessionState, Verb
from tests import factories
from tests.views.conftest import Office

HOSTILE = (
    '<p onclick="x()">piggy <b>bank</b></p><script>alert(1)</script><img src="http://evil.example/p.png" onerror="x()">'
    '<a href="javascript:alert(1)">read more</a><a href="http://evil.example">there</a><style>p{}</style>'
)
RESULTS = {
    "items": [
        {
            "id": "item-1",
            "name": "Where is money <b>safest</b>?",
            "score": {"actual": 0, "max": 1, "isScorable": True},
            "questions": [
                {
                    "id": "question-1",
                    "interactionType": "choice",
                    "keys": [{"value": "o2", "index": 1}],
                    "options": [
                        {"id": "o1", "content": HOSTILE, "isKey": False, "index": 0},
                        {"id": "o2", "content": "<p>an insured bank</p>", "isKey": True, "index": 1},
                    ],
                    "response": {"options": [{"index": 0}]},
                }
            ],
        }
    ],
    "objectives": {"ob-1": {"text": "explain saving", "abbreviation": "2.11", "score": {"actual": 0, "max": 1}}},
}
READ = {"questions": RESULTS, "questions_asked_at": "2026-03-01T09:00:00+00:00"}


class Board:
    """The office's people in front of an account whose vendor lists sessions."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.team: Team = office.team
        self.account: Account = factories.make_account(
            office.team,
            name="Campfire",
            vendor="campfire",
            credentials={"app_key": "key-1", "app_secret": "secret-1"},
            permissions=[],
        )
        self.exam: Exam = factories.make_exam(self.account, title="Saving")

    def as_(self, role: str) -> Client:
        return self.office.as_(role)

    def session(self, name: str = "Ann Lee", **kw: Any) -> Session:
        seen: dict[str, Any] = {"state": "complete", "vendor_state": "COMPLETE", "asked_at": datetime.now(UTC)}
        scored = {"score": 80.0, "score_min": 0.0, "score_max": 100.0, "has_responses": True}
        return factories.make_session(self.exam, name=name, **{**seen, **scored, **kw})

    def many(self, number: int) -> list[Session]:
        return [self.session(f"Student {place:03}") for place in range(number)]

    def choose(self, client: Client, verb: str, chosen: Iterable[Session] = (), **data: Any) -> Any:
        keys = [str(session.pk) for session in chosen]
        return client.post(reverse("session_choose"), {"verb": verb, "sessions": keys, **data}, follow=True)

    def draft(self, verb: Verb, chosen: list[Session], by: User | None = None) -> Batch:
        plan = sessions.plan(chosen, verb)
        return sessions.draft(plan, team_id=self.team.pk, by=by or self.office.members["lead"], now=datetime.now(UTC))

    def asked(self, verb: Verb, *chosen: Session) -> Batch:
        batch = self.draft(verb, list(chosen))
        lead = self.office.members["lead"]
        return sessions.request(batch, category="other", reason="Test", by=lead, now=datetime.now(UTC))


@pytest.fixture
def board(office: Office) -> Board:
    return Board(office)


def text(answer: Any) -> str:
    content: str = answer.content.decode()
    return content


def kept(**facts: Any) -> Any:
    """What an action keeps of a session that was read before the effect."""
    return values.pack(values.Kept(before=SessionSnapshot(ref="s-1", state=SessionState.COMPLETE, **facts)))


def confirm(client: Client, batch: Batch, **data: Any) -> Any:
    values = {"category": "technical", "reason": "The hall lost power", **data}
    return client.post(reverse("session_action", args=[batch.pk]), values, follow=True)


def end(actions: QuerySet[Action], state: str, **kw: Any) -> None:
    """What a worker does to rows, without one."""
    actions.update(state=state, changed_at=datetime.now(UTC), **kw)


def queries_of(client: Client, url: str) -> int:
    """How many queries a page takes, once what is cached for all pages is."""
    client.get(url)
    with CaptureQueriesContext(connection) as made:
        client.get(url)
    return len(made)


def seen_in(page: str) -> list[str]:
    return re.findall(r'name="seen" value="([^"]+)"', page)


class TestBoard:
    def test_shows_state_candidate_exam_score_and_when_it_was_seen(self, board: Board) -> None:
        candidate = factories.make_candidate(board.team, first_name="Ann", last_name="Lee")
        board.session(candidate=candidate)

        page = text(board.as_("viewer").get(reverse("sessions")))

        assert "Ann Lee" in page
        assert "80 (0–100)" in page
        assert "Complete" in page
        assert "vendor: COMPLETE" not in page, "the vendor's word says no more than ours"
        assert "<time" in page

    def test_shows_a_word_that_is_not_known_raw(self, board: Board) -> None:
        board.session(state="unknown", vendor_state="AWAITING_REVIEW")

        page = text(board.as_("viewer").get(reverse("sessions")))

        assert "AWAITING_REVIEW" in page
        assert "the vendor’s own word" in page

    def test_says_not_matched_and_never_guesses(self, board: Board) -> None:
        board.session("Robin Roe", person_hint="robin@example.org")

        page = text(board.as_("viewer").get(reverse("sessions")))

        assert "not matched" in page
        assert "robin@example.org" in page

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"q": "ann"}, {"Ann Lee"}),
            ({"q": "LEE ann"}, {"Ann Lee"}),
            ({"q": "C-77"}, {"Bo Ek"}),
            ({"state": "in_progress"}, {"Bo Ek"}),
            ({"matched": "yes"}, {"Bo Ek"}),
            ({"matched": "no"}, {"Ann Lee"}),
            ({"state": "nonsense"}, set()),
        ],
    )
    def test_finds_by_words_state_and_match(self, board: Board, query: dict[str, str], found: set[str]) -> None:
        candidate = factories.make_candidate(board.team, first_name="Bo", last_name="Ek", external_id="C-77")
        board.session("Ann Lee")
        board.session("Bo Ek", candidate=candidate, state="in_progress", vendor_state="IN_PROGRESS")

        page = text(board.as_("viewer").get(reverse("sessions"), query))

        assert {name for name in ("Ann Lee", "Bo Ek") if f"<bdi>{name}</bdi>" in page} == found

    def test_filters_by_exam_and_account(self, board: Board) -> None:
        board.session("Ann Lee")
        other = factories.make_exam(board.account, title="Spending")
        factories.make_session(other, name="Bo Ek", asked_at=datetime.now(UTC))
        client = board.as_("viewer")

        by_exam = text(client.get(reverse("sessions"), {"exam": str(other.pk)}))
        by_account = text(client.get(reverse("sessions"), {"account": str(board.office.account.pk)}))

        assert "Bo Ek" in by_exam
        assert "Ann Lee" not in by_exam
        assert "No session matches" in by_account

    def test_shows_fifty_a_page(self, board: Board) -> None:
        board.many(60)
        client = board.as_("viewer")

        assert text(client.get(reverse("sessions"))).count('id="state-') == 50
        assert text(client.get(reverse("sessions"), {"page": 2})).count('id="state-') == 10

    def test_shows_nothing_of_another_team(self, board: Board) -> None:
        board.session()

        page = text(board.office.as_stranger().get(reverse("sessions")))

        assert "Ann Lee" not in page
        assert "Campfire" not in page

    @pytest.mark.parametrize(
        ("role", "verbs"),
        [
            (Role.VIEWER, set()),
            (Role.COORDINATOR, {"reopen", "retake"}),
            (Role.LEAD, {"reset", "reopen", "retake"}),
        ],
    )
    def test_offers_what_the_role_may_do(self, board: Board, role: str, verbs: set[str]) -> None:
        board.session()

        page = text(board.as_(role).get(reverse("sessions")))

        assert set(re.findall(r'name="verb" value="(\w+)"', page)) == verbs

    def test_says_what_to_do_where_there_are_none(self, board: Board) -> None:
        page = text(board.as_("viewer").get(reverse("sessions")))

        assert "No sessions yet" in page
        assert "Never taken in yet." in page

    def test_says_which_vendors_report_nothing(self, board: Board) -> None:
        factories.make_account(board.team, name="Cirrus here", vendor="cirrus")

        page = text(board.as_("viewer").get(reverse("sessions")))

        assert "Not reported by this vendor: Cirrus here" in page

    def test_shows_what_is_under_way(self, board: Board) -> None:
        session = board.session()
        batch = board.asked(Verb.RESET, session)

        page = text(board.as_("lead").get(reverse("sessions")))

        assert reverse("session_action", args=[batch.pk]) in page
        assert "Waiting" in page

    def test_needs_no_more_queries_for_more_rows(self, board: Board) -> None:
        client, url = board.as_("lead"), reverse("sessions")
        board.asked(Verb.RESET, board.session(candidate=factories.make_candidate(board.team)), board.session())
        few = queries_of(client, url)
        for session in board.many(40):
            Session.objects.filter(pk=session.pk).update(candidate=factories.make_candidate(board.team))
        board.asked(Verb.RESET, *Session.objects.filter(actions=None)[:30])

        assert queries_of(client, url) == few

    @pytest.mark.parametrize("query", [{"exam": "x"}, {"account": "x"}, {"account": "²"}])
    def test_knows_no_filter_that_is_no_id(self, board: Board, query: dict[str, str]) -> None:
        assert board.as_("viewer").get(reverse("sessions"), query).status_code == 404


class TestChanges:
    def poll(self, client: Client, page: str, interval: str = "2s") -> Any:
        query = {"seen": seen_in(page), "interval": interval}
        return client.get(reverse("sessions_changes"), query, headers={"HX-Request": "true"})

    def test_are_nothing_where_nothing_changed(self, board: Board) -> None:
        board.asked(Verb.RESET, board.session())
        client = board.as_("lead")

        answer = self.poll(client, text(client.get(reverse("sessions"))))

        assert answer.status_code == 204

    def test_hold_only_the_rows_that_changed(self, board: Board) -> None:
        first, second = board.session("Ann Lee"), board.session("Bo Ek")
        board.asked(Verb.RESET, first, second)
        client = board.as_("lead")
        page = text(client.get(reverse("sessions")))
        Session.objects.filter(pk=first.pk).update(score=12)

        answer = text(self.poll(client, page))

        for cell in ("who", "exam", "state", "score", "seen"):
            assert f'id="{cell}-{first.pk}" hx-swap-oob="true"' in answer
        assert str(second.pk) not in answer

    def test_ask_less_often_and_then_no_more(self, board: Board) -> None:
        board.asked(Verb.RESET, board.session())
        client = board.as_("lead")
        page = text(client.get(reverse("sessions")))
        end(Action.objects.all(), ActionState.DONE)

        answer = text(self.poll(client, page))

        assert 'hx-trigger="every 2s' in page
        assert 'id="poll"' in answer
        assert "hx-trigger" not in answer

    def test_count_the_sessions_that_came_in_once(self, board: Board) -> None:
        board.asked(Verb.RESET, board.session("Ann Lee"))
        client = board.as_("lead")
        page = text(client.get(reverse("sessions")))
        board.many(2)

        answer = text(self.poll(client, page))
        again = self.poll(client, page + answer)

        assert "2 sessions came in that are not shown here yet" in answer
        assert again.status_code == 204

    def test_count_those_only_that_belong_on_the_page(self, board: Board) -> None:
        board.session("Bo Ek", state="in_progress")
        client = board.as_("lead")
        query = {"state": "complete", "interval": ""}
        board.session("Ann Lee")

        answer = text(client.get(reverse("sessions_changes"), query, headers={"HX-Request": "true"}))

        assert "1 session came in that is not shown here yet" in answer
        assert f'href="{reverse("sessions")}?state=complete"' in answer

    def test_show_an_empty_board_the_first_sessions(self, board: Board) -> None:
        client = board.as_("lead")
        page = text(client.get(reverse("sessions")))
        board.session()

        answer = self.poll(client, page)

        assert answer.headers["HX-Refresh"] == "true"

    def test_show_nothing_of_another_team(self, board: Board) -> None:
        session = board.session()
        query = {"seen": [f"{session.pk.hex}.0"], "interval": ""}

        answer = board.office.as_stranger().get(reverse("sessions_changes"), query)

        assert answer.status_code == 204

    def test_look_slowly_while_a_list_is_read_again_and_again(self, board: Board) -> None:
        later = datetime.now(UTC) + timedelta(minutes=5)
        Reading.objects.create(account=board.account, verb="list_sessions", due_at=later, every_seconds=300)

        page = text(board.as_("viewer").get(reverse("sessions")))

        assert 'hx-trigger="every 20s [!document.hidden]"' in page

    def test_look_quickly_while_a_worker_has_the_list(self, board: Board) -> None:
        lease = datetime.now(UTC) + timedelta(seconds=40)
        Reading.objects.create(
            account=board.account, verb="list_sessions", due_at=lease, every_seconds=300, tries=1, read_at=None
        )

        page = text(board.as_("lead").get(reverse("sessions")))

        assert "Being taken in …" in page
        assert 'hx-trigger="every 2s [!document.hidden]"' in page


class TestTakeIn:
    def test_asks_a_worker(self, board: Board) -> None:
        answer = board.as_("coordinator").post(reverse("sessions_take_in"), {"account": board.account.pk}, follow=True)

        assert Reading.objects.get().verb == "list_sessions"
        assert "Being taken in" in text(answer)

    def test_shows_the_last_time_and_its_error(self, board: Board) -> None:
        Reading.objects.create(
            account=board.account, verb="list_sessions", read_at=datetime.now(UTC), error="It repeats a next token."
        )

        assert "It repeats a next token." in text(board.as_("viewer").get(reverse("sessions")))

    def test_says_why_not(self, board: Board) -> None:
        Account.objects.update(paused_at=datetime.now(UTC), pause_reason="The key was refused.")

        answer = board.as_("coordinator").post(reverse("sessions_take_in"), {"account": board.account.pk}, follow=True)

        assert "The key was refused." in text(answer)
        assert not Reading.objects.exists()

    def test_is_not_for_viewers_nor_strangers_nor_by_get(self, board: Board) -> None:
        data = {"account": board.account.pk}

        assert board.as_("viewer").post(reverse("sessions_take_in"), data).status_code == 403
        assert board.office.as_stranger().post(reverse("sessions_take_in"), data).status_code == 404
        assert board.as_("lead").get(reverse("sessions_take_in")).status_code == 405


class TestChoose:
    def test_takes_the_ticked_ones_to_a_preview_and_asks_for_nothing(self, board: Board) -> None:
        session = board.session()

        page = text(board.choose(board.as_("lead"), "reset", [session]))

        assert "all answers and the score 80" in page
        assert not Action.objects.exists()

    def test_takes_all_that_the_filters_show(self, board: Board) -> None:
        board.many(60)
        board.session("Somebody else")

        page = text(board.choose(board.as_("lead"), "reset", everything="1", q="Student"))

        assert len(sessions.plan_of(Batch.objects.get()).rows) == 60
        assert "Type 60" in page

    def test_says_to_tick_first(self, board: Board) -> None:
        board.session()

        assert "Tick the sessions first." in text(board.choose(board.as_("lead"), "reset"))

    def test_keeps_teams_apart(self, board: Board) -> None:
        mine = board.session()
        other = factories.make_account(factories.make_team(), vendor="campfire")
        theirs = factories.make_session(factories.make_exam(other))
        both = factories.make_user(role=Role.LEAD, team=board.team)
        both.memberships.create(team=other.team, role=Role.LEAD)
        client = Client()
        client.force_login(both)

        assert "different teams" in text(board.choose(client, "reset", [mine, theirs]))
        assert not Batch.objects.exists()

    @pytest.mark.parametrize(("role", "verb"), [("viewer", "reopen"), ("coordinator", "reset")])
    def test_needs_the_right(self, board: Board, role: str, verb: str) -> None:
        assert board.choose(board.as_(role), verb, [board.session()]).status_code == 403

    def test_finds_nothing_of_another_team(self, board: Board) -> None:
        answer = board.choose(board.office.as_stranger(), "reset", [board.session()])

        assert not Batch.objects.exists()
        assert "None of these sessions" in text(answer)


class TestPreview:
    def test_says_which_can_and_which_cannot_and_why(self, board: Board) -> None:
        open_one = board.session("Bo Ek", state="in_progress", vendor_state="IN_PROGRESS")
        batch = board.draft(Verb.REOPEN, [board.session(), open_one])

        page = text(board.as_("coordinator").get(reverse("session_action", args=[batch.pk])))

        assert "The session is open already." in page
        assert "The candidate can enter only if" in page
        assert "Reopen 1 session" in page

    def test_is_named_after_what_its_button_does(self, board: Board) -> None:
        client, open_one = board.as_("lead"), board.session("Bo Ek", state="in_progress", vendor_state="IN_PROGRESS")
        drafts = [
            board.draft(Verb.RESET, board.many(3)),
            board.draft(Verb.RESET, [open_one]),
            board.draft(Verb.REOPEN, [open_one]),
        ]

        many, one, none = (text(client.get(reverse("session_action", args=[draft.pk]))) for draft in drafts)

        assert "Reset 3 sessions: check before you press" in many
        assert "Reset 1 session: check before you press" in one
        assert "Reopen: nothing can be done now" in none

    def test_of_a_reset_says_what_is_lost_in_all(self, board: Board) -> None:
        batch = board.draft(Verb.RESET, board.many(3))

        page = text(board.as_("lead").get(reverse("session_action", args=[batch.pk])))

        assert "3 sessions lose answers and 3 lose a score" in page
        assert "A reset cannot be undone." in page

    def test_of_many_resets_wants_their_number(self, board: Board) -> None:
        batch, client = board.draft(Verb.RESET, board.many(3)), board.as_("lead")

        without = confirm(client, batch)
        wrong = confirm(client, batch, number="2")

        assert (without.status_code, wrong.status_code) == (422, 422)
        assert "3 sessions would be reset. Type that number." in text(wrong)
        assert not Action.objects.exists()

    def test_of_one_reset_or_many_reopens_wants_none(self, board: Board) -> None:
        one, many = board.draft(Verb.RESET, board.many(1)), board.draft(Verb.REOPEN, board.many(3))
        client = board.as_("lead")

        assert 'name="number"' not in text(client.get(reverse("session_action", args=[one.pk])))
        assert 'name="number"' not in text(client.get(reverse("session_action", args=[many.pk])))

    @pytest.mark.parametrize("data", [{"reason": " "}, {"category": ""}, {"category": "weather"}])
    def test_wants_a_category_and_words(self, board: Board, data: dict[str, str]) -> None:
        batch = board.draft(Verb.RESET, [board.session()])

        assert confirm(board.as_("lead"), batch, **data).status_code == 422
        assert not Action.objects.exists()

    def test_confirmed_twice_asks_once(self, board: Board) -> None:
        batch, client = board.draft(Verb.RESET, board.many(2)), board.as_("lead")

        confirm(client, batch, number="2")
        page = text(confirm(client, batch, number="2"))

        assert Action.objects.count() == 2
        assert "0 of 2 finished" in page
        assert Action.objects.values_list("reason", flat=True)[0] == "Technical trouble: The hall lost power"

    def test_may_be_read_by_a_viewer_and_confirmed_by_who_may(self, board: Board) -> None:
        batch = board.draft(Verb.RESET, [board.session()])
        url = reverse("session_action", args=[batch.pk])

        assert "Ask a lead of the team." in text(board.as_("coordinator").get(url))
        assert confirm(board.as_("coordinator"), batch).status_code == 403
        assert confirm(board.as_("viewer"), batch).status_code == 403
        assert not Action.objects.exists()

    def test_says_why_nothing_can_be_done_any_more(self, board: Board) -> None:
        session = board.session()
        batch = board.draft(Verb.RESET, [session])
        board.asked(Verb.REOPEN, session)

        page = text(confirm(board.as_("lead"), batch))

        assert "Nothing was sent. None of these sessions can be done now." in page

    def test_tells_of_what_changed_since_and_makes_itself_anew(self, board: Board) -> None:
        session = board.session()
        batch, client = board.draft(Verb.RESET, [session]), board.as_("lead")
        Session.objects.update(score=10)

        old = text(client.get(reverse("session_action", args=[batch.pk])))
        new = text(client.post(reverse("session_action_again", args=[batch.pk]), follow=True))

        assert "1 session changed since this preview was made" in old
        assert "all answers and the score 10" in new
        assert "changed since" not in new.replace("One that changed since this preview", "")

    def test_does_not_exist_for_a_stranger(self, board: Board) -> None:
        batch = board.draft(Verb.RESET, [board.session()])
        client = board.office.as_stranger()

        for name in ("session_action", "session_action_progress"):
            assert client.get(reverse(name, args=[batch.pk])).status_code == 404
        assert client.get(reverse("session_action_report", args=[batch.pk, "csv"])).status_code == 404
        for name in ("again", "retry", "cancel", "reopen"):
            assert client.post(reverse(f"session_action_{name}", args=[batch.pk])).status_code == 404

    def test_needs_no_more_queries_for_more_rows(self, board: Board) -> None:
        client = board.as_("lead")
        few, many = board.draft(Verb.RESET, board.many(2)), board.draft(Verb.RESET, board.many(120))

        counts = [queries_of(client, reverse("session_action", args=[batch.pk])) for batch in (few, many)]

        assert counts[0] == counts[1]


class TestResult:
    def test_shows_a_result_for_each_with_before_and_after(self, board: Board) -> None:
        batch = board.asked(Verb.RESET, board.session())
        before = {"state": "COMPLETE", "score": 80.0, "has_responses": True}
        after = {"state": "COMPLETE", "score": None, "has_responses": False}
        end(Action.objects.all(), ActionState.DONE, message="No answers.", result={"before": before, "after": after})

        page = text(board.as_("viewer").get(reverse("session_action", args=[batch.pk])))

        assert "COMPLETE, score 80, answers" in page
        assert "COMPLETE, no score, no answers" in page
        assert "No answers." in page
        assert "data-poll" not in page, "nothing changes any more"

    def test_needs_no_more_queries_for_more_rows(self, board: Board) -> None:
        client = board.as_("lead")
        few, many = board.asked(Verb.RESET, *board.many(2)), board.asked(Verb.RESET, *board.many(80))
        end(Action.objects.all(), ActionState.UNKNOWN)

        counts = [queries_of(client, reverse("session_action", args=[batch.pk])) for batch in (few, many)]

        assert counts[0] == counts[1]

    def test_offers_to_reopen_what_is_still_complete_after_a_reset(self, board: Board) -> None:
        first, second = board.session("Ann Lee"), board.session("Bo Ek")
        batch = board.asked(Verb.RESET, first, second)
        end(Action.objects.all(), ActionState.DONE)
        Session.objects.filter(pk=second.pk).update(state="in_progress")
        client = board.as_("coordinator")

        page = text(client.get(reverse("session_action", args=[batch.pk])))
        preview = text(client.post(reverse("session_action_reopen", args=[batch.pk]), follow=True))

        assert page.count("Still complete: reopen…") == 1
        assert "Reopen the 1 still complete…" in page
        assert "Ann Lee" in preview
        assert "Bo Ek" not in preview

    def test_gives_the_next_steps_of_what_is_unknown_in_its_own_words(self, board: Board) -> None:
        batch = board.asked(Verb.RETAKE, board.session())
        end(Action.objects.all(), ActionState.UNKNOWN, message="No answer came.")

        page = text(board.as_("lead").get(reverse("session_action", args=[batch.pk])))

        assert "Read it at the vendor" in page
        assert "It did not happen: send again" in page

    def test_retries_only_what_failed_and_never_what_is_unknown(self, board: Board) -> None:
        lost, failed, changed, doubtful = (board.session(name) for name in ("Lost", "Failed", "Changed", "Doubtful"))
        batch = board.asked(Verb.RESET, lost, failed, changed, doubtful)
        of = Action.objects.filter
        end(of(session=lost), ActionState.UNKNOWN)
        end(of(session=failed), ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED)
        end(of(session=changed), ActionState.NEEDS_ATTENTION, attention=Attention.CHANGED)
        end(of(session=doubtful), ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED, may_have_acted=True)
        client = board.as_("lead")

        offered = text(client.get(reverse("session_action", args=[batch.pk])))
        page = text(client.post(reverse("session_action_retry", args=[batch.pk]), {"reason": "Power cut"}, follow=True))

        draft = Batch.objects.get(confirmed_at=None)
        assert "Retry failed only (2)" in offered
        assert {row.name for row in sessions.plan_of(draft).ready} == {"Failed", "Changed"}
        assert of(session=lost, batch=batch).get().state == ActionState.UNKNOWN
        assert of(session=doubtful, batch=batch).get().state == ActionState.NEEDS_ATTENTION
        assert Reading.objects.get(verb="read_session").session == changed
        assert "is being read again from the vendor" in page

    def test_retries_responses_as_they_were(self, board: Board) -> None:
        batch = board.asked(Verb.SUBMIT_RESPONSES, board.session())
        end(Action.objects.all(), ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED)

        board.as_("lead").post(reverse("session_action_retry", args=[batch.pk]), {"reason": "Power cut"})

        assert Action.objects.get().state == ActionState.QUEUED
        assert JournalEntry.objects.get(event="action.retried").reason == "Power cut"

    def test_retries_nothing_without_a_reason(self, board: Board) -> None:
        batch = board.asked(Verb.RESET, board.session())
        end(Action.objects.all(), ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED)

        page = text(board.as_("lead").post(reverse("session_action_retry", args=[batch.pk]), follow=True))

        assert "Nothing was tried again: say why" in page
        assert Action.objects.get().state == ActionState.NEEDS_ATTENTION

    def test_offers_a_retry_of_all_to_who_may_cancel_and_says_so_to_the_others(self, board: Board) -> None:
        batch = board.asked(Verb.REOPEN, board.session())
        end(Action.objects.all(), ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED)
        address = reverse("session_action", args=[batch.pk])

        for_lead, for_coordinator = (text(board.as_(role).get(address)) for role in ("lead", "coordinator"))

        assert "Retry what failed" in for_lead
        assert "Retry what failed" not in for_coordinator
        assert "Each can be tried again in its own row" in for_coordinator

    def test_cancels_what_has_not_started_with_a_reason(self, board: Board) -> None:
        batch = board.asked(Verb.RESET, *board.many(2))
        url, client = reverse("session_action_cancel", args=[batch.pk]), board.as_("lead")

        without = text(client.post(url, {"reason": ""}, follow=True))
        page = text(client.post(url, {"reason": "Wrong hall"}, follow=True))

        assert "say why" in without
        assert "2 sessions cancelled before anything was sent." in page
        assert board.as_("coordinator").post(url, {"reason": "x"}).status_code == 403

    def test_polls_for_what_changed_and_stops_when_nothing_moves(self, board: Board) -> None:
        first, second = board.session("Ann Lee"), board.session("Bo Ek")
        batch = board.asked(Verb.RESET, first, second)
        client, url = board.as_("lead"), reverse("session_action_progress", args=[batch.pk])
        page = text(client.get(reverse("session_action", args=[batch.pk])))

        nothing = client.get(url, {"seen": seen_in(page)})
        end(Action.objects.filter(session=first), ActionState.DONE)
        some = client.get(url, {"seen": seen_in(page)})
        end(Action.objects.filter(session=second), ActionState.DONE)
        over = client.get(url, {"seen": seen_in(page)})

        assert (nothing.status_code, some.status_code, over.status_code) == (204, 200, 286)
        assert text(some).count('id="state-') == 1

    def test_says_that_what_waits_waits_for_the_account(self, board: Board) -> None:
        batch = board.asked(Verb.RESET, board.session())
        Account.objects.update(paused_at=datetime.now(UTC), pause_reason="The key was refused.")

        assert "The key was refused." in text(board.as_("lead").get(reverse("session_action", args=[batch.pk])))

    def test_is_where_a_batchs_own_address_leads(self, board: Board) -> None:
        batch = board.asked(Verb.RETAKE, board.session())

        answer = board.as_("lead").get(reverse("batch", args=[batch.pk]))

        assert answer.headers["Location"] == reverse("session_action", args=[batch.pk])

    def test_leaves_a_deliverys_retake_to_its_own_page(self, board: Board) -> None:
        batch = factories.make_batch(board.exam, kind="retake")
        client = board.as_("lead")

        assert client.get(reverse("session_action", args=[batch.pk])).status_code == 404
        assert client.get(reverse("batch", args=[batch.pk])).status_code == 200

    def test_has_a_report_that_accounts_for_each(self, board: Board) -> None:
        busy, ann = board.session("Busy"), board.session("=cmd|x")
        batch = board.draft(Verb.RESET, [busy, ann])
        board.asked(Verb.REOPEN, busy)
        confirm(board.as_("lead"), batch, number="2")
        end(Action.objects.filter(batch=batch), ActionState.DONE, message="No answers.")

        answer: Any = board.as_("viewer").get(reverse("session_action_report", args=[batch.pk, "csv"]))

        rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
        assert [row[0] for row in rows[1:]] == ["'=cmd|x", "Busy"]
        assert [row[4] for row in rows[1:]] == ["Done", "Left out"]
        assert "under way" in rows[2][-1]

    def test_reports_a_drafts_plan_and_comes_as_a_workbook(self, board: Board) -> None:
        batch, client = board.draft(Verb.RESET, [board.session()]), board.as_("lead")

        answer = client.get(reverse("session_action_report", args=[batch.pk, "xlsx"]))

        assert answer.content.startswith(b"PK")
        assert client.get(reverse("session_action_report", args=[batch.pk, "pdf"])).status_code == 404


class TestSession:
    def test_shows_what_is_known_and_what_happened(self, board: Board) -> None:
        session = board.session(content=READ)
        board.asked(Verb.RESET, session)
        action = Action.objects.get()
        call = factories.make_call(board.account, actions=[action], url="http://v.example/reset", method="GET")

        page = text(board.as_("lead").get(reverse("session", args=[session.pk])))

        assert "2.11 explain saving" in page
        assert "0 of 1" in page
        assert "Reset: asked for at the vendor" in page
        assert f"GET {call.url}" in page

    def test_says_why_something_cannot_be_done(self, board: Board) -> None:
        session = board.session(state="in_progress", vendor_state="IN_PROGRESS")

        page = text(board.as_("coordinator").get(reverse("session", args=[session.pk])))

        assert "Reset: Ask a lead of the team." in page
        assert "Reopen: The session is open already." in page

    def test_does_not_exist_for_a_stranger(self, board: Board) -> None:
        session = board.session()
        client = board.office.as_stranger()

        assert client.get(reverse("session", args=[session.pk])).status_code == 404
        assert client.get(reverse("session_live", args=[session.pk])).status_code == 404
        for name in ("session_read", "session_questions", "session_responses"):
            assert client.post(reverse(name, args=[session.pk])).status_code == 404

    def test_of_a_vendor_that_reports_nothing_says_so(self, board: Board) -> None:
        account = factories.make_account(board.team, vendor="cirrus")
        session = factories.make_session(factories.make_exam(account))

        page = text(board.as_("lead").get(reverse("session", args=[session.pk])))

        assert "Not reported by this vendor" in page
        assert "Read again" not in page

    def test_polls_while_something_moves_and_no_longer(self, board: Board) -> None:
        session = board.session()
        client, url = board.as_("lead"), reverse("session_live", args=[session.pk])
        sessions.ask_reading(session, by=None, now=datetime.now(UTC))
        page = text(client.get(reverse("session", args=[session.pk])))
        (held,) = seen_in(page)

        waiting = client.get(url, {"seen": held})
        Reading.objects.update(due_at=None, read_at=datetime.now(UTC))
        over = client.get(url, {"seen": held})

        assert "The session is being read …" in page
        assert (waiting.status_code, over.status_code) == (204, 286)

    def test_brings_what_was_read_unless_the_page_shows_questions(self, board: Board) -> None:
        session = board.session()
        client, url = board.as_("lead"), reverse("session_live", args=[session.pk])
        page = text(client.get(reverse("session", args=[session.pk])))
        (rest,) = re.findall(r'name="rest" value="([^"]+)"', page)
        before = text(client.get(url, {"rest": rest}))
        session.content = READ
        session.save()
        with_questions = text(client.post(reverse("session_questions", args=[session.pk])))

        after, beside_questions = text(client.get(url, {"rest": rest})), text(client.get(url))

        assert "Show questions and keys" not in page + before
        assert 'hx-swap-oob="innerHTML:#rest"' in after
        assert "Show questions and keys" in after
        assert "hx-swap-oob" not in beside_questions
        assert 'name="rest"' not in with_questions

    @pytest.mark.parametrize(("what", "verb"), [("", "read_session"), ("questions", "read_results")])
    def test_is_read_again_when_asked(self, board: Board, what: str, verb: str) -> None:
        session = board.session()

        board.as_("coordinator").post(reverse("session_read", args=[session.pk]), {"what": what})

        assert Reading.objects.get(session=session).verb == verb

    def test_is_not_read_for_a_viewer(self, board: Board) -> None:
        assert board.as_("viewer").post(reverse("session_read", args=[board.session().pk])).status_code == 403

    def test_shows_what_the_last_reading_met(self, board: Board) -> None:
        session = board.session()
        Reading.objects.create(account=board.account, session=session, verb="read_session", error="It answered 500.")

        assert "It could not be read: It answered 500." in text(
            board.as_("lead").get(reverse("session", args=[session.pk]))
        )

    def test_needs_no_more_queries_for_a_longer_history(self, board: Board) -> None:
        session = board.session()
        client, url = board.as_("lead"), reverse("session", args=[session.pk])
        counts = []
        for _ in range(4):
            board.asked(Verb.RESET, session)
            end(Action.objects.all(), ActionState.DONE, kept=kept())
            counts.append(queries_of(client, url))

        assert counts[0] == counts[-1]


class TestQuestions:
    def test_are_not_on_the_page_before_they_are_asked_for(self, board: Board) -> None:
        session = board.session(content=READ)

        page = text(board.as_("lead").get(reverse("session", args=[session.pk])))

        assert "insured bank" not in page
        assert not JournalEntry.objects.filter(event="session.questions_shown").exists()

    def test_are_shown_by_a_press_and_each_showing_is_journalled(self, board: Board) -> None:
        session = board.session(content=READ)
        client, url = board.as_("lead"), reverse("session_questions", args=[session.pk])

        page = text(client.post(url))
        client.post(url)

        assert "an insured bank" in page
        assert re.search(r"insured bank.*?key", page, re.DOTALL)
        assert JournalEntry.objects.filter(event="session.questions_shown", target=str(session.pk)).count() == 2

    def test_from_before_the_last_action_say_so(self, board: Board) -> None:
        session = board.session(content={**READ, "results": {"objectives": {}}}, effect_ended_at=datetime.now(UTC))
        client = board.as_("lead")

        page = text(client.get(reverse("session", args=[session.pk])))
        shown = text(client.post(reverse("session_questions", args=[session.pk])))
        form = text(client.post(reverse("session_responses", args=[session.pk]), follow=True))

        assert "before the last action" in page
        assert "before the last action" in shown
        assert "explain saving" not in page, "points from before the action are no points"
        assert "Read the questions again first" in form

    def test_are_not_shown_to_a_coordinator_nor_by_get(self, board: Board) -> None:
        session = board.session(content=READ)
        url = reverse("session_questions", args=[session.pk])

        refused = board.as_("coordinator").post(url)

        assert refused.status_code == 403
        assert "see questions and keys" in text(refused)
        assert board.as_("lead").get(url).status_code == 405
        assert not JournalEntry.objects.filter(event="session.questions_shown").exists()

    def test_hold_nothing_that_a_browser_would_run_or_fetch(self, board: Board) -> None:
        session = board.session(content=READ)

        page = text(board.as_("lead").post(reverse("session_questions", args=[session.pk])))

        theirs = page[page.index('class="theirs"') : page.index("an insured bank")]
        assert "piggy <b>bank</b>" in theirs
        assert "read more" in theirs
        assert "a picture, not shown here" in theirs
        for bad in ("<script", "onclick", "onerror", "evil.example", "javascript:", "<img", "<a "):
            assert bad not in theirs

    @pytest.mark.parametrize(
        "shape", [None, [], "x", {"items": "x"}, {"items": [1, {"questions": [None, {"options": 3}]}]}]
    )
    def test_of_another_shape_are_left_out(self, shape: Any) -> None:
        assert all(not question.options for question in questions.questions_of(shape))

    def test_show_a_response_of_another_shape_raw(self) -> None:
        item = {"id": "i", "questions": [{"id": "q", "interactionType": "extendedText", "response": {"text": "Save."}}]}

        (question,) = questions.questions_of({"items": [item]})

        assert question.raw == '{"text": "Save."}'
        assert not question.is_choice


class TestSetResponses:
    def form(self, client: Client, session: Session, **data: Any) -> Any:
        return client.post(reverse("session_responses", args=[session.pk]), data, follow=True)

    def test_asks_with_the_vendors_own_indexes_and_journals_the_showing(self, board: Board) -> None:
        session = board.session(content=READ)

        page = text(self.form(board.as_("lead"), session))

        assert 'name="q0" value="0"' in page
        assert JournalEntry.objects.get(event="session.questions_shown").facts == {"where": "set responses"}

    def test_previews_before_and_after_and_sends_what_was_chosen(self, board: Board) -> None:
        session = board.session(content=READ)
        client = board.as_("lead")

        preview = text(self.form(client, session, set="1", q0=["1"], submit_for_scoring="on"))
        confirm(client, Batch.objects.get())

        order = Action.objects.get().payload["order"]
        assert "It is submitted for scoring, too." in preview
        assert order["submit_for_scoring"] is True
        assert order["responses"] == [
            {"v": 1, "item_ref": "item-1", "question_ref": "question-1", "option_indexes": [1]}
        ]

    @pytest.mark.parametrize(
        ("chosen", "words"), [(["0"], "Nothing would change."), ([], "no way to take an answer away"), (["7"], "7")]
    )
    def test_says_what_cannot_be_set(self, board: Board, chosen: list[str], words: str) -> None:
        session = board.session(content=READ)

        answer = self.form(board.as_("lead"), session, set="1", q0=chosen)

        assert answer.status_code == 422
        assert words in text(answer)
        assert not Batch.objects.exists()

    def test_may_score_what_is_already_chosen(self, board: Board) -> None:
        session = board.session(content=READ)

        self.form(board.as_("lead"), session, set="1", q0=["0"], submit_for_scoring="on")

        assert Batch.objects.get().kind == "submit_responses"

    def test_needs_questions_that_were_read(self, board: Board) -> None:
        assert "Read the questions again first" in text(self.form(board.as_("lead"), board.session()))

    def test_is_for_leads(self, board: Board) -> None:
        session = board.session(content=READ)

        assert self.form(board.as_("coordinator"), session).status_code == 403

    def test_shows_no_question_in_the_preview_to_who_may_not_see_them(self, board: Board) -> None:
        session = board.session(content=READ)
        self.form(board.as_("lead"), session, set="1", q0=["1"])
        url = reverse("session_action", args=[Batch.objects.get().pk])

        page = text(board.as_("coordinator").get(url))

        assert "option 1" in page
        assert "insured bank" not in page


class TestKept:
    def test_is_exported_by_a_press_of_a_lead_and_journalled(self, board: Board) -> None:
        board.asked(Verb.RESET, board.session())
        Action.objects.update(kept=kept(score=80, responses={"q": "cupcake"}))
        action = Action.objects.get()
        url = reverse("session_kept", args=[action.pk])

        answer = board.as_("lead").post(url)

        assert json.loads(answer.content)["before"]["responses"] == {"q": "cupcake"}
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert JournalEntry.objects.get(event="session.kept_exported").action_id == action.pk

    def test_is_nobody_elses(self, board: Board) -> None:
        board.asked(Verb.RESET, board.session())
        Action.objects.update(kept=kept())
        url = reverse("session_kept", args=[Action.objects.get().pk])

        assert board.as_("coordinator").post(url).status_code == 403
        assert board.office.as_stranger().post(url).status_code == 404
        assert board.as_("lead").get(url).status_code == 405

    def test_is_nothing_where_nothing_was_kept(self, board: Board) -> None:
        board.asked(Verb.RESET, board.session())

        url = reverse("session_kept", args=[Action.objects.get().pk])

        assert board.as_("lead").post(url).status_code == 404


class TestAdmin:
    def post(self, client: Client, verb: str, *chosen: Session) -> Any:
        data = {"action": verb, "_selected_action": [str(session.pk) for session in chosen]}
        return client.post(reverse("admin:proctoring_session_changelist"), data, follow=True)

    def test_hands_the_chosen_over_to_the_preview(self, board: Board) -> None:
        page = text(self.post(board.as_("lead"), "reset", *board.many(2)))

        assert "Type 2" in page
        assert not Action.objects.exists()

    def test_offers_a_reset_only_to_who_may(self, board: Board) -> None:
        session = board.session()

        self.post(board.as_("coordinator"), "reset", session)

        assert not Batch.objects.exists()


class TestARetakeOfWhoIsInTheExam:
    def test_is_counted_and_needs_a_tick(self, board: Board) -> None:
        inside, done = board.session("Ann Lee", state="in_progress", vendor_state="IN_PROGRESS"), board.session("Bo Ek")
        batch = board.draft(Verb.RETAKE, [inside, done])
        client, url = board.as_("lead"), reverse("session_action", args=[batch.pk])
        reason = {"category": "other", "reason": "Fire alarm"}

        page = text(client.get(url))
        client.post(url, reason)

        assert "Also the one who is in the exam now" in page
        assert "In the middle of the exam" in page
        assert [action.session for action in Action.objects.all()] == [done]

    def test_of_nobody_else_says_what_to_tick(self, board: Board) -> None:
        inside = board.session("Ann Lee", state="paused", vendor_state="PAUSED")
        batch = board.draft(Verb.RETAKE, [inside])
        client, url = board.as_("lead"), reverse("session_action", args=[batch.pk])
        reason = {"category": "other", "reason": "Fire alarm"}

        refused = client.post(url, reason)
        client.post(url, {**reason, "includes_in_exam": "on"})

        assert (refused.status_code, "Tick this if they are meant" in text(refused)) == (422, True)
        assert Action.objects.get().session == inside
