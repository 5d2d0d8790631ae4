"""An exam from its form over its page to the simulated vendor and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from proctoring import accounts, exams, ledger
from proctoring.models import Account, Action, ActionState, Exam, Role
from proctoring.sandbox.server import Sandbox
from proctoring.vendors import registry
from proctoring.verbs import VERBS
from tests import factories
from tests.vendors.pages import posted

VENDOR = "proctorexam"


@dataclass
class Road:
    """One exam at the sandbox, and a coordinator who edits it, sends it and reads its page."""

    sandbox: Sandbox
    exam: Exam
    client: Client

    def form(self) -> Any:
        answer = self.client.get(reverse("admin:proctoring_exam_change", args=[self.exam.pk]))
        return answer.context["adminform"].form

    def edit(self, **typed: str) -> None:
        """Changes fields on the page and saves it."""
        data = posted(self.form(), **typed)
        url = reverse("admin:proctoring_exam_change", args=[self.exam.pk])
        answer = self.client.post(url, {name: data.getlist(name) for name in data})
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        self.exam.refresh_from_db()

    def send(self) -> Action:
        self.client.post(reverse("exam_send", args=[self.exam.pk]), {"reason": "As planned"})
        self.drain()
        self.exam.refresh_from_db()
        newest: Action = Action.objects.order_by("-created_at")[0]
        return newest

    def drain(self) -> None:
        ledger.drain(self.exam.account_id, VERBS, worker="test", should_stop=lambda: False, seconds=10.0)

    def page(self) -> str:
        text: str = self.client.get(reverse("exam", args=[self.exam.pk])).content.decode()
        return text

    def edit_page(self) -> str:
        url = reverse("admin:proctoring_exam_change", args=[self.exam.pk])
        text: str = self.client.get(url).content.decode()
        return text

    def there(self) -> dict[str, Any]:
        (found,) = [item for item in self.sandbox.state(VENDOR)["exams"] if str(item["id"]) == self.exam.ref]
        return dict(found)


@pytest.fixture
def road(transactional_db: None, settings: LazySettings) -> Iterator[Road]:
    settings.CALL_DEADLINE_SECONDS = 20.0
    demo, team = registry.demo(VENDOR), factories.make_team()
    client = Client()
    client.force_login(factories.make_user(role=Role.COORDINATOR, team=team))
    with Sandbox.running({VENDOR: 0}) as sandbox:
        account = Account(
            team=team, name="Ours", vendor=VENDOR, base_url=sandbox.url(VENDOR), settings=dict(demo.SETTINGS)
        )
        now = datetime.now(UTC).replace(microsecond=0)
        accounts.add(account, credentials=demo.CREDENTIALS, by=None, now=now)
        window = {"starts_at": now + timedelta(days=1), "ends_at": now + timedelta(days=2)}
        exam = Exam(
            team=team,
            account=account,
            title="Bookkeeping",
            ref=str(demo.EXAMS[0]["ref"]),
            duration_minutes=120,
            **window,
        )
        exams.save(exam, vendor_settings=demo.EXAMS[0]["settings"], by=None, now=now)
        yield Road(sandbox, exam, client)


class TestRemoving:
    def test_removes_at_the_vendor_the_instructions_that_were_removed_here(self, road: Road) -> None:
        road.edit(**{"settings-restrictions": "No phones."})
        road.send()
        assert road.there()["restrictions"] == "No phones."

        road.edit(**{"settings-restrictions": ""})
        before = road.page()
        action = road.send()

        assert "Removed here, and so removed at ProctorExam: the instructions for the reviewer." in before
        assert action.state == ActionState.DONE
        assert road.there()["restrictions"] == ""
        (check,) = [item for item in action.result["checks"] if item["name"] == "restrictions"]
        assert (check["sent"], check["verdict"]) == ("", "confirmed")

    def test_lets_a_removed_duration_limit_nobody_and_says_that_its_number_stands(self, road: Road) -> None:
        road.send()
        assert (road.there()["use_duration"], road.there()["duration_minutes"]) == (True, 120)

        road.edit(duration_minutes="")
        before = road.page()
        action = road.send()

        assert "ProctorExam is told not to limit" in before
        assert "The duration in minutes stands at ProctorExam as 120, and an update cannot empty it." in before
        assert (road.there()["use_duration"], road.there()["duration_minutes"]) == (False, 120)
        assert "Still there, because an update cannot empty it: duration in minutes (120)." in action.message
        assert action.message in road.page()

    def test_says_before_and_after_that_a_removed_window_stands(self, road: Road) -> None:
        road.send()

        road.edit(starts_at="", ends_at="")
        before = road.page()
        action = road.send()

        assert "The first start stands at ProctorExam as" in before
        assert "The last start stands at ProctorExam as" in before
        assert "Still there, because an update cannot empty it: first start (" in action.message
        assert "last start (" in action.message
        assert road.there()["end_time"] is not None

    def test_leaves_alone_what_was_never_set_here(self, road: Road) -> None:
        Exam.objects.update(starts_at=None, ends_at=None, duration_minutes=None, settings={})
        road.exam.refresh_from_db()
        untouched = road.there()
        road.send()

        before = road.page()
        action = road.send()

        assert "stands at ProctorExam" not in before
        assert "Removed here" not in before
        assert action.message == ""
        assert {**road.there(), "updated_at": "", "name": ""} == {**untouched, "updated_at": "", "name": ""}
