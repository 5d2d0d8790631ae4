"""A refused delivery says which fields it is about, in the words of the forms, and where each is put right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from proctoring import ledger, refusals
from proctoring.models import Action, ActionState, Attention, Delivery, Exam
from proctoring.vendors import registry
from proctoring.verbs import VERBS
from tests import factories
from tests.answering import Answering, answering
from tests.views.conftest import Office

STATE = {
    "Candidates[0].Email": ["is on no list"],
    "Candidates[0].PostalCode": ["is too long"],
    "Schedule.PIN": ["is taken"],
    "StartDateTime": ["lies in the past"],
    "Candidates[0].Shoe": ["must be < 48"],
}


@dataclass
class Refused:
    """One delivery that Cirrus refused."""

    office: Office
    exam: Exam
    delivery: Delivery
    action: Action

    def pages(self) -> list[str]:
        """Where the refusal can be met: the delivery, what needs attention, its next step, and the stored action."""
        urls = (
            reverse("delivery", args=[self.delivery.pk]),
            reverse("attention"),
            reverse("attention_step", args=[self.action.pk, "retry"]),
            reverse("admin:proctoring_action_change", args=[self.action.pk]),
        )
        client = self.office.as_("lead")
        return [client.get(url).content.decode() for url in urls]


@pytest.fixture
def vendor() -> Iterator[Answering]:
    with answering(400, {"Success": False, "Message": "The request is invalid.", "ModelState": STATE}) as vendor:
        yield vendor


@pytest.fixture
def refused(transactional_db: None, office: Office, vendor: Answering) -> Refused:
    demo = registry.demo("cirrus")
    account = factories.make_account(
        office.team, vendor="cirrus", base_url=vendor.url, credentials=demo.CREDENTIALS, settings=demo.SETTINGS
    )
    starts_at = datetime.now(UTC) + timedelta(days=1)
    window = {"starts_at": starts_at, "ends_at": starts_at + timedelta(days=1)}
    values = {"ref": demo.EXAMS[0]["ref"], "settings": demo.EXAMS[0]["settings"], **window}
    Exam.objects.filter(pk=office.exam.pk).update(account=account, **values)
    office.exam.refresh_from_db()
    office.batch(1)
    ledger.drain(account.pk, VERBS, worker="test", should_stop=lambda: False, seconds=10.0)
    action = Action.objects.get()
    assert (action.state, action.attention) == (ActionState.NEEDS_ATTENTION, "refused"), action.message
    return Refused(office, office.exam, Delivery.objects.get(), action)


class TestRefusedDelivery:
    def test_keeps_the_fields_that_the_vendor_names(self, refused: Refused) -> None:
        assert refused.action.result == {"fields": {name: words[0] for name, words in STATE.items()}}

    def test_names_each_field_as_its_form_does_with_a_link_to_it(self, refused: Refused) -> None:
        candidate = reverse("admin:proctoring_candidate_change", args=[refused.delivery.candidate_id])
        exam = reverse("admin:proctoring_exam_change", args=[refused.exam.pk])
        deliver = f"{reverse('deliver')}?exam={refused.exam.pk}"

        *pages, stored = refused.pages()

        for page in pages:
            assert f'<a href="{candidate}#id_email">E-mail</a> of the candidate: is on no list' in page
            assert f'<a href="{deliver}">Postal code</a> of the delivery: is too long' in page
            assert f'<a href="{exam}#id_settings-pin">PIN</a>: is taken' in page
            assert f'<a href="{exam}#id_starts_at">Window opens</a>: lies in the past' in page
            assert '<code class="break">Candidates[0].Shoe</code>: must be &lt; 48' in page
        assert f'href="{candidate}#id_email">E-mail</a>: is on no list' in stored
        assert "<code>Candidates[0].Shoe</code>: must be &lt; 48" in stored

    def test_leads_to_fields_that_are_there(self, refused: Refused) -> None:
        client = refused.office.as_("lead")
        candidate = reverse("admin:proctoring_candidate_change", args=[refused.delivery.candidate_id])
        exam = reverse("admin:proctoring_exam_change", args=[refused.exam.pk])

        assert 'id="id_email"' in client.get(candidate).content.decode()
        assert 'id="id_settings-pin"' in client.get(exam).content.decode()
        assert "Postal code" in client.get(f"{reverse('deliver')}?exam={refused.exam.pk}").content.decode()

    def test_says_nothing_of_them_any_more_once_the_vendor_has_done_it_or_is_not_reached(
        self, refused: Refused, vendor: Answering
    ) -> None:
        refused.office.as_("lead").post(
            reverse("attention_step", args=[refused.action.pk, "retry"]), {"reason": "Mended"}
        )
        assert "is on no list" not in refused.pages()[3]

        vendor.status, vendor.value = 400, {"Success": False, "Errors": ["The assessment does not exist."]}
        ledger.drain(refused.exam.account_id, VERBS, worker="test", should_stop=lambda: False, seconds=10.0)

        refused.action.refresh_from_db()
        assert (refused.action.state, refused.action.result) == (ActionState.NEEDS_ATTENTION, {})


class TestNames:
    """What the vendors' own checks and replies call a field, and what the forms call it."""

    @pytest.mark.parametrize(
        ("vendor", "name", "label", "field"),
        [
            ("scorpion", "Email", "E-mail", "email"),
            ("scorpion", "accommodations", "Extra time (%)", "extra_time_percent"),
            ("scorpion", "external_id", "External id", "external_id"),
            ("scorpion", "form_id", "Form", "form_id"),
            ("scorpion", "exam", "Vendor's reference", "ref"),
            ("cirrus", "CandidateExtId", "External id", "external_id"),
            ("cirrus", "candidates[0].lastName", "Last name", "last_name"),
            ("cirrus", "ReasonableAdjustmentPercentage", "Extra time (%)", "extra_time_percent"),
            ("cirrus", "Title", "Title of the schedule", "settings-schedule_title"),
            ("cirrus", "UseProctorIo", "Proctor with Proctorio", "settings-use_proctorio"),
            ("cirrus", "duration_minutes", "Duration minutes", "duration_minutes"),
            ("cirrus", "Shoe", "Shoe", ""),
        ],
    )
    def test_of_a_delivery(self, office: Office, vendor: str, name: str, label: str, field: str) -> None:
        named = _named(office, vendor, name)

        assert (named.label, named.field) == (label, field)

    @pytest.mark.parametrize(
        ("vendor", "name", "label", "field"),
        [
            ("smarterproctoring", "configuration.proctorTypes", "Proctor types", "settings-proctorTypes"),
            ("smarterproctoring", "proctorTypes[0]", "Proctor types", "settings-proctorTypes"),
            ("smarterproctoring", "configuration.examOpenDate", "Window opens", "starts_at"),
            ("smarterproctoring", "configuration.duration", "Duration minutes", "duration_minutes"),
            (
                *("smarterproctoring", "configuration.instructorAsProctor[1].startTime"),
                *("Instructors who proctor", "settings-instructorAsProctor"),
            ),
            ("smarterproctoring", "configuration.permittedPets", "configuration.permittedPets", ""),
            ("smarterproctoring", "title", "Title", "title"),
            ("proctorexam", "id", "Vendor's reference", "ref"),
            ("proctorexam", "exam.duration_minutes", "Duration minutes", "duration_minutes"),
            ("proctorexam", "nonce", "nonce", ""),
        ],
    )
    def test_of_an_exam(self, office: Office, vendor: str, name: str, label: str, field: str) -> None:
        named = _named(office, vendor, name, is_exam=True)

        assert (named.label, named.field) == (label, field)


def _named(office: Office, vendor: str, name: str, *, is_exam: bool = False) -> refusals.Named:
    """What is made of a name in a refusal by this vendor."""
    demo = registry.demo(vendor)
    exam = factories.make_exam(factories.make_account(office.team, vendor=vendor), settings=demo.EXAMS[0]["settings"])
    delivery = None if is_exam else factories.make_delivery(exam, factories.make_candidate(office.team))
    action = Action(
        account=exam.account,
        exam=exam if is_exam else None,
        delivery=delivery,
        attention=Attention.REFUSED,
        result={"fields": {name: "is wrong"}},
    )
    (named,) = refusals.of_action(action)
    return named
