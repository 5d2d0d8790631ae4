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
from tests.answering import answering
from tests.commands.console import say
from tests.vendors.pages import posted

VENDOR = "proctorexam"


@dataclass
class Road:
    """One exam at the sandbox, and a lead who edits it, sends it and reads its page."""

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

    def cancel(self, action: Action) -> None:
        url = reverse("attention_step", args=[action.pk, "cancel"])
        assert self.client.post(url, {"reason": "To put it right"}).status_code == 302

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
    client.force_login(factories.make_user(role=Role.LEAD, team=team))
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


TOO_LONG = "9" * 20  # an institute's id as the form takes it, and the simulator does not


class TestRefused:
    def test_shows_the_vendors_words_at_the_field_until_the_exam_is_sent_again(self, road: Road) -> None:
        road.edit(**{"settings-institute_id": TOO_LONG})
        action = road.send()

        page, form = road.page(), road.form()

        assert (action.state, action.attention) == (ActionState.NEEDS_ATTENTION, "refused")
        assert action.result == {"fields": {"institute_id": "Must be a number."}}
        url = reverse("admin:proctoring_exam_change", args=[road.exam.pk])
        assert f'<a href="{url}#id_settings-institute_id">Institute id</a>: Must be a number.' in page
        assert "trying again would send the same values" in page
        assert "ProctorExam refused this when it was sent last: Must be a number." in str(
            form.fields["settings-institute_id"].help_text
        )
        assert 'id="id_settings-institute_id"' in road.edit_page()

        road.cancel(action)
        road.edit(**{"settings-institute_id": ""})
        assert "What ProctorExam refused" in road.page()
        assert "Must be a number." in road.edit_page()

        assert road.send().state == ActionState.DONE
        assert "What ProctorExam refused" not in road.page()
        assert "Must be a number." not in road.edit_page()

    def test_shows_the_words_while_the_form_is_mended_and_saves_all_the_same(self, road: Road) -> None:
        road.edit(**{"settings-institute_id": TOO_LONG})
        road.send()

        data = posted(road.form(), title="", **{"settings-institute_id": "7"})
        url = reverse("admin:proctoring_exam_change", args=[road.exam.pk])
        refused = road.client.post(url, {name: data.getlist(name) for name in data})

        assert refused.status_code == 200
        assert "refused this when it was sent last: Must be a number." in refused.content.decode()
        road.edit(**{"settings-institute_id": "7"})
        assert road.exam.settings["institute_id"] == 7

    def test_says_no_more_once_it_is_tried_again(self, road: Road) -> None:
        road.edit(**{"settings-institute_id": TOO_LONG})
        action = road.send()

        road.client.post(reverse("attention_step", args=[action.pk, "retry"]), {"reason": "Once more"})

        assert "Must be a number." not in road.edit_page()
        assert "What ProctorExam refused" not in road.page()

    def test_puts_each_field_at_its_place_and_shows_unknown_ones_as_they_are(self, road: Road) -> None:
        said = {
            "exam[restrictions]": ["are too long"],
            "start_time": ["lies in the past"],
            "name": ["has <b>markup</b>"],
            "stars": ["must be <5>"],
        }
        with answering(422, {"errors": said}) as vendor:
            Account.objects.update(base_url=vendor.url)
            road.send()
        page, form, edit_page = road.page(), road.form(), road.edit_page()

        url = reverse("admin:proctoring_exam_change", args=[road.exam.pk])
        assert f'<a href="{url}#id_settings-restrictions">Instructions</a>: are too long' in page
        assert f'<a href="{url}#id_starts_at">Window opens</a>: lies in the past' in page
        assert '<code class="break">stars</code>: must be &lt;5&gt;' in page
        assert '<code class="break">stars</code>: must be &lt;5&gt;' in edit_page
        assert "<b>markup</b>" not in page + edit_page
        assert {name for name, field in form.fields.items() if "refused this" in str(field.help_text)} == {
            "settings-restrictions",
            "starts_at",
            "title",
        }

    def test_is_printed_by_the_command_with_what_was_to_be_known_before(self, road: Road) -> None:
        road.edit(**{"settings-exam_language": "", "settings-institute_id": TOO_LONG})

        said = say("exam", "send", str(road.exam.pk), "--wait")

        assert "Removed here, and so removed at ProctorExam: the languages." in said.notes
        assert "Institute id: Must be a number." in said.out
        assert "It is not done." in str(said.error)

    def test_is_shown_to_who_may_only_look(self, road: Road) -> None:
        road.edit(**{"settings-institute_id": TOO_LONG})
        road.send()
        road.client.force_login(factories.make_user(role=Role.VIEWER, team=road.exam.team))

        assert "Must be a number." in road.page()
        assert road.client.get(reverse("admin:proctoring_exam_change", args=[road.exam.pk])).status_code == 200
