"""Cirrus on the console's pages and commands: what belongs to one candidate, and whom it may take for whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from proctoring import deliveries, ledger, planning
from proctoring.models import Action, Batch, Candidate, CandidateReference, Delivery, DeliveryState, Exam, Role, Team
from proctoring.planning import Standing
from proctoring.sandbox.server import Sandbox
from proctoring.vendors import registry
from proctoring.vendors.cirrus.adapter import CirrusAdapter
from proctoring.vendors.cirrus.demo import CREDENTIALS, EXAMS, SETTINGS
from proctoring.vendors.cirrus.forms import DeliveryForm
from proctoring.verbs import VERBS
from tests import factories
from tests.commands.console import rows, say

DEFAULT, EXTERNAL_ATTEMPTS = EXAMS[0], EXAMS[1]
PERSONAL = [
    *("user_name", "password", "photo", "address_line1", "address_line2", "postal_code", "phone_number"),
    *("registration_number", "voucher_id", "attempt_ext_id"),
]
SHARED = ["company", "comp_id", "city", "state", "country_code", "proctor_uids"]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team()


@pytest.fixture
def client(team: Team) -> Client:
    client = Client()
    client.force_login(factories.make_user(team=team, role=Role.LEAD))
    return client


def make_exam(team: Team, demo: dict[str, Any] = DEFAULT, *, base_url: str = "http://127.0.0.1:9", **kw: Any) -> Exam:
    account = factories.make_account(
        team, vendor="cirrus", base_url=base_url, credentials=CREDENTIALS, permissions=[], settings=SETTINGS
    )
    times = {"starts_at": now() + timedelta(days=1), "ends_at": now() + timedelta(days=2)}
    values = {name: demo[name] for name in ("ref", "duration_minutes", "settings")}
    return factories.make_exam(account, **{**values, **times, "title": "Widgets", **kw})


def choose(client: Client, exam: Exam, people: list[Candidate], **options: str) -> Any:
    """Presses “Preview” on the page that delivers."""
    given = {f"options-{name}": value for name, value in options.items()}
    data = {"exam": exam.pk, "mode": "first", "source": "known", "candidates": [person.pk for person in people]}
    return client.post(reverse("deliver"), {**data, **given})


def rows_of(exam: Exam, people: list[Candidate]) -> dict[str, planning.Row]:
    plan = planning.plan_candidates(exam, people, now=now(), options={})
    return {row.person.external_id: row for row in plan.rows}


def asked(exam: Exam, people: list[Candidate], **options: Any) -> Batch:
    plan = planning.plan_candidates(exam, people, now=now(), options=options)
    return deliveries.request(deliveries.draft(plan, exam=exam, by=None, now=now()), by=None, now=now())


def known_as(exam: Exam, person: Candidate, ref: str) -> Candidate:
    """Cirrus knows this person by this id."""
    CandidateReference.objects.create(candidate=person, account=exam.account, ref=ref)
    return person


class TestWhatBelongsToOneCandidate:
    def test_is_declared_for_every_field_or_shared(self) -> None:
        assert set(PERSONAL) == CirrusAdapter.PERSONAL_OPTIONS
        assert set(DeliveryForm.base_fields) == {*PERSONAL, *SHARED}

    @pytest.mark.parametrize("vendor", registry.VENDORS)
    def test_is_a_field_of_the_vendors_form(self, vendor: str) -> None:
        adapter = registry.adapter_class(vendor)

        assert set(registry.forms(vendor).DeliveryForm.base_fields) >= adapter.PERSONAL_OPTIONS
        assert adapter.PERSONAL_OPTIONS >= adapter.ATTEMPT_OPTIONS

    @pytest.mark.parametrize("name", PERSONAL)
    def test_is_refused_at_its_field_for_two(self, client: Client, team: Team, name: str) -> None:
        answer = choose(client, make_exam(team), factories.make_candidates(team, 2), **{name: "X-1"})

        page, label = answer.content.decode(), DeliveryForm.base_fields[name].label
        sentence = (
            f"“{label}” belongs to one candidate, and 2 are chosen. Empty it, or deliver to that candidate alone."
        )
        assert answer.status_code == 422
        assert page.count(sentence) == 1
        assert not Batch.objects.exists()

    @pytest.mark.parametrize("name", PERSONAL)
    def test_is_taken_for_one(self, client: Client, team: Team, name: str) -> None:
        answer = choose(client, make_exam(team), factories.make_candidates(team, 1), **{name: "X-1"})

        assert answer.status_code == 302
        assert deliveries.plan_of(Batch.objects.get()).options[name] == "X-1"

    def test_leaves_the_rest_for_everybody(self, client: Client, team: Team) -> None:
        answer = choose(client, make_exam(team), factories.make_candidates(team, 2), **dict.fromkeys(SHARED, "X-1"))

        assert answer.status_code == 302

    def test_is_refused_for_a_list_of_two_lines(self, client: Client, team: Team) -> None:
        pasted = "Ann Lee <ann@example.org>\nBo Ek <bo@example.org>"
        data = {"exam": make_exam(team).pk, "mode": "first", "source": "pasted", "pasted": pasted}

        answer = client.post(reverse("deliver"), {**data, "options-user_name": "ann"})

        assert "“User name at Cirrus” belongs to one candidate, and 2 are chosen." in answer.content.decode()

    def test_is_refused_for_those_chosen_in_the_admin(self, client: Client, team: Team) -> None:
        people = factories.make_candidates(team, 2)
        chosen = {"action": "deliver", "_selected_action": [str(person.pk) for person in people]}
        exam = make_exam(team)

        page = client.post(reverse("admin:proctoring_candidate_changelist"), chosen, follow=True).content.decode()
        answer = choose(client, exam, people, password="one-for-all")

        assert all(f'value="{person.pk}" checked' in page for person in people)
        assert answer.status_code == 422
        assert "one-for-all" not in answer.content.decode()

    def test_is_said_in_the_preview_of_an_older_draft_which_delivers_nothing(self, client: Client, team: Team) -> None:
        exam = make_exam(team)
        plan = planning.plan_candidates(exam, factories.make_candidates(team, 2), now=now(), options={"photo": "p"})
        url = reverse("deliver_preview", args=[deliveries.draft(plan, exam=exam, by=None, now=now()).pk])

        shown, pressed = client.get(url).content.decode(), client.post(url)

        assert "“Photo” belongs to one candidate, and 2 are chosen." in shown
        assert "Nothing to deliver" in shown
        assert pressed.status_code == 409
        assert not Action.objects.exists()

    @pytest.mark.parametrize("option", ["--dry-run", "--format=json"])
    def test_is_refused_by_the_command(self, team: Team, tmp_path: Path, option: str) -> None:
        make_exam(team)
        roster = tmp_path / "roster.csv"
        roster.write_text("First name,Last name,E-mail\nAnn,Lee,ann@example.org\nBo,Ek,bo@example.org\n")
        before = rows()

        said = say("deliver", "Widgets", roster, "--set", "voucher_id=V-1", option)

        assert "“Voucher id” belongs to one candidate, and 2 are chosen. Empty it, or deliver" in (said.error or "")
        assert rows() == before


class TestAnAttemptId:
    def test_is_refused_where_a_delivery_had_it(self, client: Client, team: Team) -> None:
        exam = make_exam(team, EXTERNAL_ATTEMPTS)
        bo = factories.make_candidate(team, first_name="Bo", last_name="Ek")
        factories.make_delivery(exam, bo, state=DeliveryState.CREATED, ref="A-1")

        answer = choose(client, exam, factories.make_candidates(team, 1), attempt_ext_id="a-1")

        assert answer.status_code == 422
        assert "“Attempt id” was used for Bo Ek already (attempt 1 of Widgets)." in answer.content.decode()

    def test_is_not_repeated_when_the_candidate_is_let_back_in(self, client: Client, team: Team) -> None:
        exam = make_exam(team, EXTERNAL_ATTEMPTS)
        options = {"attempt_ext_id": "A-1", "user_name": "ada", "company": "Widgets Inc"}
        made = factories.make_delivery(
            exam, factories.make_candidate(team), state=DeliveryState.CREATED, ref="A-1", options=options
        )

        client.post(reverse("delivery_step", args=[made.pk, "let-back-in"]), {"reason": "It threw me out"})

        again = Delivery.objects.get(attempt=2)
        assert again.candidate == made.candidate
        assert again.options == {"user_name": "ada", "company": "Widgets Inc"}

    def test_may_not_differ_from_the_last_in_case_only(self, team: Team) -> None:
        exam = make_exam(team, EXTERNAL_ATTEMPTS)
        ann = factories.make_candidate(team)
        factories.make_delivery(exam, ann, state=DeliveryState.CREATED, ref="A-1")

        plan = planning.plan_candidates(exam, [ann], now=now(), is_retake=True, options={"attempt_ext_id": "a-1"})

        assert "“Attempt id” was used for" in plan.refusal


class TestIdsThatDifferInCaseOnly:
    def test_stop_both_of_a_press_and_nobody_else(self, team: Team) -> None:
        small, large, other = (factories.make_candidate(team, external_id=text) for text in ("s-1", "S-1", "S-2"))

        found = rows_of(make_exam(team), [small, large, other])

        assert [found[text].standing for text in ("s-1", "S-1", "S-2")] == [
            *(Standing.REFUSED, Standing.REFUSED, Standing.READY)
        ]
        assert found["s-1"].sentences == (
            f"Cirrus may take this candidate for {large}, by their ids there: “s-1” and “S-1” differ in upper and lower "
            "case only. Correct the external id of one of them.",
        )

    def test_are_said_in_the_preview(self, client: Client, team: Team) -> None:
        pasted = (
            "First name,Last name,E-mail,External id\n"
            "Ann,Lee,ann@example.org,s-1\nBo,Ek,bo@example.org,S-1\nCy,Au,cy@example.org,S-2\n"
        )
        data = {"exam": make_exam(team).pk, "mode": "first", "source": "pasted", "pasted": pasted}

        page = client.post(reverse("deliver"), data, follow=True).content.decode()

        assert "Deliver to 1 candidate: check before you press" in page
        assert "Cirrus may take this candidate for Bo Ek, by their ids there: “s-1” and “S-1” differ" in page
        assert "Cirrus may take this candidate for Ann Lee" in page

    def test_stop_whoever_is_new_where_one_is_known_there(self, team: Team) -> None:
        exam = make_exam(team)
        known = known_as(exam, factories.make_candidate(team, external_id="S-1"), "S-1")
        new = factories.make_candidate(team, external_id="s-1")

        alone, both = rows_of(exam, [new]), rows_of(exam, [new, known])

        assert alone["s-1"].standing is both["s-1"].standing is Standing.REFUSED
        assert f"for {known}, by their ids there" in alone["s-1"].sentences[0]
        assert both["S-1"].standing is Standing.READY

    def test_stop_whoever_comes_while_the_other_is_asked_for(self, team: Team) -> None:
        exam = make_exam(team)
        asked(exam, [factories.make_candidate(team, external_id="S-1")])

        found = rows_of(exam, [factories.make_candidate(team, external_id="s-1")])

        assert found["s-1"].standing is Standing.REFUSED

    def test_stop_nobody_at_another_account(self, team: Team) -> None:
        known_as(make_exam(team), factories.make_candidate(team, external_id="S-1"), "S-1")

        found = rows_of(make_exam(team), [factories.make_candidate(team, external_id="s-1")])

        assert found["s-1"].standing is Standing.READY

    def test_keep_those_apart_who_are_both_known_there(self, team: Team) -> None:
        exam = make_exam(team)
        first, second = (known_as(exam, factories.make_candidate(team, external_id=x), x) for x in ("s-1", "S-1"))

        both, alone = rows_of(exam, [first, second]), rows_of(exam, [second])

        assert (both["s-1"].standing, both["S-1"].standing) == (Standing.READY, Standing.REFUSED)
        assert both["S-1"].sentences[0].endswith("Deliver to each of them alone.")
        assert alone["S-1"].standing is Standing.READY

    def test_stop_whoever_got_the_id_that_another_has_there(self, team: Team) -> None:
        exam = make_exam(team)
        known = known_as(exam, factories.make_candidate(team, external_id="S-9"), "S-1")

        found = rows_of(exam, [factories.make_candidate(team, external_id="S-1")])

        assert found["S-1"].sentences == (
            f"Cirrus may take this candidate for {known}, by their ids there: “S-1”. "
            "Correct the external id of one of them.",
        )

    def test_leave_the_others_with_their_links(self, team: Team) -> None:
        people = [factories.make_candidate(team, external_id=text) for text in ("s-1", "S-1", "S-2", "S-3")]
        with Sandbox.running({"cirrus": 0}) as sandbox:
            exam = make_exam(team, base_url=sandbox.url("cirrus"))
            asked(exam, people)

            ledger.drain(exam.account.pk, VERBS, worker="test", should_stop=lambda: False, seconds=10)

            there = {item["candidate_ext_id"] for item in sandbox.state("cirrus")["attempts"]}
        assert there == {"S-2", "S-3"}
        assert set(Delivery.objects.values_list("candidate__external_id", "state")) == {
            ("S-2", DeliveryState.CREATED),
            ("S-3", DeliveryState.CREATED),
        }

    def test_take_as_many_queries_for_five_hundred_as_for_ten(
        self, team: Team, django_assert_max_num_queries: Any
    ) -> None:
        exam = Exam.objects.select_related("account", "team").get(pk=make_exam(team).pk)
        people = [
            Candidate(team=team, first_name="Ann", last_name="Lee", email=f"a{n}@example.org", external_id=f"C-{n}")
            for n in range(500)
        ]
        Candidate.objects.bulk_create(people)

        with django_assert_max_num_queries(7):
            plan = planning.plan_candidates(exam, people, now=now(), options={})

        assert len(plan.ready) == 500
