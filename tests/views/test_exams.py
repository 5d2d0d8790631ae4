from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from proctoring.models import Account, Action, ActionState, Exam, JournalEntry, Role
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from proctoring.views.exams import bars_of
from tests import factories
from tests.views.conftest import Office


def text(answer: Any) -> str:
    content: str = answer.content.decode()
    return content


def page_of(client: Client, exam: Exam) -> str:
    return text(client.get(reverse("exam", args=[exam.pk])))


def demo_exam(office: Office, vendor: str) -> Exam:
    """An exam as the demo has it, which could be sent."""
    demo = registry.demo(vendor)
    account = factories.make_account(
        office.team,
        name=vendor,
        vendor=vendor,
        base_url="https://vendor.example.com",
        credentials=demo.CREDENTIALS,
        settings=demo.SETTINGS,
        permissions=demo.PERMISSIONS,
    )
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    values = {"ref": "", **demo.EXAMS[0], "starts_at": soon, "ends_at": soon + timedelta(days=30)}
    return factories.make_exam(account, **values)


def sent(exam: Exam, *checks: dict[str, Any], state: str = ActionState.DONE, verb: Verb = Verb.UPDATE_EXAM) -> Action:
    now = datetime.now(UTC)
    return Action.objects.create(
        team=exam.team,
        account=exam.account,
        exam=exam,
        verb=verb.value,
        group=exam.pk,
        state=state,
        result={"checks": list(checks)} if checks else {},
        due_at=now,
        created_at=now,
        changed_at=now,
    )


def check(name: str, sent_value: Any, reported: Any, verdict: str) -> dict[str, Any]:
    return {"name": name, "sent": sent_value, "reported": reported, "verdict": verdict}


class TestExam:
    def test_counts_its_deliveries_and_sessions_by_state(self, office: Office) -> None:
        for _ in range(2):
            factories.make_delivery(office.exam, factories.make_candidate(office.team))
        factories.make_session(office.exam, state="complete")

        page = page_of(office.as_("viewer"), office.exam)

        assert "2 requested" in page
        assert "1 complete" in page

    def test_says_where_the_vendor_reports_nothing(self, office: Office) -> None:
        exam = factories.make_exam(factories.make_account(office.team, vendor="cirrus"))

        assert "not reported by this vendor" in page_of(office.as_("viewer"), exam)

    def test_does_not_exist_for_a_stranger(self, office: Office) -> None:
        client = office.as_stranger()

        assert client.get(reverse("exam", args=[office.exam.pk])).status_code == 404
        assert client.get(reverse("exam_state", args=[office.exam.pk])).status_code == 404
        assert client.post(reverse("exam_send", args=[office.exam.pk]), {"reason": "x"}).status_code == 404

    def test_of_a_vendor_without_such_a_call_says_so(self, office: Office) -> None:
        page = page_of(office.as_("lead"), office.exam)

        assert "has no call to send an exam" in page
        assert reverse("exam_send", args=[office.exam.pk]) not in page

    def test_is_linked_from_the_admin(self, office: Office) -> None:
        answer = office.as_("lead").get(reverse("admin:proctoring_exam_change", args=[office.exam.pk]))

        assert reverse("exam", args=[office.exam.pk]) in text(answer)

    def test_needs_no_more_queries_for_more_sessions(self, office: Office) -> None:
        client, counts = office.as_("lead"), []
        for number in (1, 30):
            for _ in range(number):
                factories.make_session(office.exam, state="complete", score=50.0)
            with CaptureQueriesContext(connection) as made:
                page_of(client, office.exam)
            counts.append(len(made))

        assert counts[0] >= counts[1]


class TestScores:
    def test_are_a_chart_and_the_same_as_a_table(self, office: Office) -> None:
        for score in (5.0, 55.0, 55.0, 100.0):
            factories.make_session(office.exam, state="complete", score=score, score_min=0.0, score_max=100.0)
        factories.make_session(office.exam, state="in_progress")

        page = page_of(office.as_("viewer"), office.exam)

        assert page.count("<rect") == 10
        assert "<title>50–60: 2</title>" in page
        assert re.search(r">90–100</th><td[^>]*>1</td>", page)
        assert re.findall(r'class="number">([\d.]+)<', page) == ["5", "53.8", "100", "4"]

    def test_are_none_where_no_session_has_one(self, office: Office) -> None:
        factories.make_session(office.exam, state="in_progress")

        assert "None of its sessions has a score yet." in page_of(office.as_("viewer"), office.exam)

    def test_of_the_greatest_value_lie_in_the_last_bar(self) -> None:
        bars = bars_of([0, 9.99, 10, 100], 0, 100)

        assert [bar.count for bar in bars] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
        assert bars[0].height == 150

    def test_that_are_all_the_same_need_one_bar(self) -> None:
        (bar,) = bars_of([7, 7], 7, 7)

        assert (bar.label, bar.count) == ("7", 2)


class TestWhatWillBeSent:
    def test_shows_method_address_and_body_and_no_secret(self, office: Office) -> None:
        exam = demo_exam(office, "smarterproctoring")
        exam.settings = {
            **exam.settings,
            "configuration": {**exam.settings["configuration"], "password": "hush-hush-1"},
        }
        exam.save()

        page = page_of(office.as_("coordinator"), exam)

        assert "POST https://vendor.example.com/" in page
        assert exam.title in page
        assert "hush-hush-1" not in page
        for secret in exam.account.credentials.values():
            assert secret not in page

    @pytest.mark.parametrize(
        ("role", "offered"), [(Role.VIEWER, False), (Role.COORDINATOR, True), (Role.ADMINISTRATOR, True)]
    )
    def test_is_sent_by_whom_may_change_exams(self, office: Office, role: str, offered: bool) -> None:
        exam = demo_exam(office, "smarterproctoring")
        url = reverse("exam_send", args=[exam.pk])

        assert (url in page_of(office.as_(role), exam)) is offered
        assert office.as_(role).post(url, {"reason": "Autumn"}).status_code == (302 if offered else 403)
        assert Action.objects.exists() is offered

    def test_is_sent_with_a_reason_and_journalled(self, office: Office) -> None:
        exam = demo_exam(office, "smarterproctoring")
        client, url = office.as_("coordinator"), reverse("exam_send", args=[exam.pk])

        without = text(client.post(url, {"reason": " "}, follow=True))
        page = text(client.post(url, {"reason": "Autumn term"}, follow=True))

        assert "say why" in without
        assert "Asked for. What the vendor says appears here." in page
        assert "data-poll" in page
        assert Action.objects.get().verb == "create_exam"
        assert JournalEntry.objects.get(event="exam.sent").reason == "Autumn term"

    def test_is_not_sent_twice_at_once(self, office: Office) -> None:
        exam = demo_exam(office, "smarterproctoring")
        client, url = office.as_("coordinator"), reverse("exam_send", args=[exam.pk])
        client.post(url, {"reason": "Autumn"})

        page = text(client.post(url, {"reason": "Again"}, follow=True))

        assert "It is being sent already" in page
        assert Action.objects.count() == 1

    def test_is_refused_before_anything_is_sent_where_it_names_no_proctor_type(self, office: Office) -> None:
        exam = demo_exam(office, "smarterproctoring")
        own = {**exam.settings["configuration"], "proctorTypes": []}
        exam.settings = {**exam.settings, "configuration": own}
        exam.save()
        client, url = office.as_("coordinator"), reverse("exam_send", args=[exam.pk])

        page = page_of(client, exam)
        after = text(client.post(url, {"reason": "Autumn"}, follow=True))

        assert "Choose at least one proctor type." in page
        assert url not in page
        assert "Nothing was sent. Choose at least one proctor type." in after
        assert not Action.objects.exists()

    def test_says_what_is_wrong_with_it(self, office: Office) -> None:
        exam = demo_exam(office, "proctorexam")
        exam.ref = ""
        exam.save()

        assert "Enter the vendor&#x27;s reference first" in page_of(office.as_("coordinator"), exam)

    def test_waits_for_an_account_that_is_paused(self, office: Office) -> None:
        exam = demo_exam(office, "smarterproctoring")
        Account.objects.update(paused_at=datetime.now(UTC), pause_reason="The token was refused.")

        page = page_of(office.as_("coordinator"), exam)

        assert "The token was refused." in page
        assert reverse("exam_send", args=[exam.pk]) not in page


class TestWhatTheVendorSaid:
    def test_is_shown_field_by_field(self, office: Office) -> None:
        exam = demo_exam(office, "proctorexam")
        sent(
            exam,
            check("name", exam.title, exam.title, "confirmed"),
            check("duration_minutes", 120, 90, "differs"),
            check("restrictions", "x", None, "not_reported"),
        )

        page = page_of(office.as_("viewer"), exam)

        for word in ("Confirmed", "Differs", "Not reported"):
            assert word in page
        assert "The vendor reports something else for <code>duration_minutes</code>." in page
        assert "<details open>" in page

    def test_is_compared_with_the_exam_as_it_is_now(self, office: Office) -> None:
        exam = demo_exam(office, "proctorexam")
        sent(exam, check("name", "An older title", "An older title", "confirmed"))
        Exam.objects.filter(pk=exam.pk).update(confirmed={"name": "An older title"})

        page = page_of(office.as_("viewer"), exam)

        assert "Changed since: <code>name</code>" in page
        assert "Send it to bring the vendor up to date." in page

    def test_is_the_same_where_nothing_changed(self, office: Office) -> None:
        exam = demo_exam(office, "proctorexam")
        sent(exam, check("name", exam.title, exam.title, "confirmed"))

        page = page_of(office.as_("viewer"), exam)

        assert "The exam is as it was last sent." in page
        assert "reports something else" not in page

    def test_differs_for_an_exam_that_cannot_be_sent_again_too(self, office: Office) -> None:
        exam = demo_exam(office, "smarterproctoring")
        Exam.objects.filter(pk=exam.pk).update(ref="TE1234", title="A new title")
        sent(exam, check("title", "Before", "Before", "confirmed"), verb=Verb.CREATE_EXAM)

        page = page_of(office.as_("viewer"), exam)

        assert "Changed since: <code>title</code>" in page
        assert "Change it there by hand." in page
        assert (
            "SmarterProctoring has a call to change an exam that exists, but this console does not do that yet." in page
        )
        assert "What will be sent" not in page


class TestState:
    def test_says_nothing_until_something_changed_and_then_stops(self, office: Office) -> None:
        exam = demo_exam(office, "proctorexam")
        action = sent(exam, state=ActionState.SENDING)
        client, url = office.as_("viewer"), reverse("exam_state", args=[exam.pk])
        (held,) = re.findall(r'name="seen" value="([^"]+)"', page_of(client, exam))

        waiting = client.get(url, {"seen": held})
        Action.objects.filter(pk=action.pk).update(state=ActionState.DONE, changed_at=datetime.now(UTC))
        Exam.objects.filter(pk=exam.pk).update(ref="77")
        over = client.get(url, {"seen": held})

        assert (waiting.status_code, over.status_code) == (204, 286)
        assert '<span id="exam-ref" hx-swap-oob="true"><code class="break">77</code>' in text(over)

    def test_offers_the_next_steps_of_what_stopped(self, office: Office) -> None:
        exam = demo_exam(office, "smarterproctoring")
        sent(exam, state=ActionState.UNKNOWN, verb=Verb.CREATE_EXAM)

        page = page_of(office.as_("lead"), exam)

        assert "Outcome unknown" in page
        assert "/attention/" in page
