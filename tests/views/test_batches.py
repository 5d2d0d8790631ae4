from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any

import openpyxl
import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring.models import Account, Action, ActionState, Batch, Candidate, Delivery, DeliveryState, JournalEntry
from tests import factories
from tests.views.conftest import Office, settle


def page_of(client: Client, batch: Batch, **query: Any) -> str:
    return client.get(reverse("batch", args=[batch.pk]), query).content.decode()


def seen_in(page: str) -> list[str]:
    return re.findall(r'name="seen" value="([^"]+)"', page)


def poll(client: Client, batch: Batch, page: str) -> Any:
    return client.get(
        reverse("batch_progress", args=[batch.pk]), {"seen": seen_in(page)}, headers={"HX-Request": "true"}
    )


def actions_of(batch: Batch) -> list[Action]:
    return list(Action.objects.filter(batch=batch).select_related("delivery").order_by("id"))


class TestBatch:
    def test_shows_every_rows_state_and_its_links(self, office: Office) -> None:
        batch = office.batch(2)
        first, second = actions_of(batch)
        settle(first)
        settle(second, ActionState.NEEDS_ATTENTION, attention="refused", message="Unknown exam.")

        page = page_of(office.as_("lead"), batch)

        assert "Finished: 1 needs you" in page
        assert f'href="{factories.TAKE_URL}" target="_blank" rel="noreferrer noopener"' in page
        assert "works once" in page
        assert "Refused by the vendor" in page
        assert "Unknown exam." in page
        assert "Try again" in page

    def test_fills_the_bar_with_what_is_done_and_marks_what_needs_somebody(self, office: Office) -> None:
        batch = office.batch(4)
        done, *stopped, _waiting = actions_of(batch)
        settle(done)
        for action in stopped:
            settle(action, ActionState.UNKNOWN)

        page = page_of(office.as_("lead"), batch)

        assert "1 of 4 finished, 2 need you" in page
        assert '<span style="width: 25.00%"></span><span class="is-stopped" style="width: 50.00%"></span>' in page

    def test_never_holds_a_proctor_link(self, office: Office) -> None:
        batch = office.batch(1)
        settle(actions_of(batch)[0])

        page = page_of(office.as_("lead"), batch)

        assert factories.PROCTOR_URL not in page
        assert "proctor-link" in page

    def test_shows_a_viewer_no_link_at_all(self, office: Office) -> None:
        batch = office.batch(1)
        settle(actions_of(batch)[0])

        page = page_of(office.as_("viewer"), batch)

        assert "take-secret" not in page
        assert "proctor-link" not in page

    def test_lists_whom_the_confirmation_left_out_and_why(self, office: Office) -> None:
        client = office.as_("coordinator")
        url = office.post_roster(client, "First name,Last name,E-mail\nAnn,Lee,ann@example.org\nBo,Ek,bad\n")
        batch = Batch.objects.get()
        client.post(url.headers["Location"])

        page = page_of(client, batch)

        assert "Left out when it was confirmed: 1" in page
        assert "is not an e-mail address" in page

    def test_shows_a_hundred_rows_a_page(self, office: Office) -> None:
        batch = office.batch(130)
        client = office.as_("coordinator")

        assert page_of(client, batch).count('id="state-') == 100
        assert page_of(client, batch, page=2).count('id="state-') == 30

    def test_shows_one_state_alone(self, office: Office) -> None:
        batch = office.batch(3)
        settle(actions_of(batch)[0])

        assert page_of(office.as_("coordinator"), batch, state="done").count('id="state-') == 1

    def test_goes_to_the_preview_while_it_is_a_draft(self, office: Office) -> None:
        batch = office.draft(factories.make_candidates(office.team, 1))

        answer = office.as_("coordinator").get(reverse("batch", args=[batch.pk]))

        assert answer.headers["Location"] == reverse("deliver_preview", args=[batch.pk])

    def test_does_not_exist_for_a_stranger(self, office: Office) -> None:
        batch = office.batch(1)
        delivery = Delivery.objects.get()
        client = office.as_stranger()

        assert client.get(reverse("batch", args=[batch.pk])).status_code == 404
        assert client.get(reverse("batch_progress", args=[batch.pk])).status_code == 404
        assert client.get(reverse("batch_export", args=[batch.pk, "csv"])).status_code == 404
        assert client.post(reverse("batch_cancel", args=[batch.pk]), {"reason": "x"}).status_code == 404
        assert client.post(reverse("proctor_link", args=[delivery.pk])).status_code == 404

    def test_says_that_what_waits_waits_for_the_account(self, office: Office) -> None:
        batch = office.batch(1)
        Account.objects.update(paused_at=datetime.now(UTC), pause_reason="The token was refused.")

        assert "The token was refused." in page_of(office.as_("coordinator"), batch)

    def test_makes_no_link_of_what_a_browser_would_run(self, office: Office) -> None:
        batch = office.batch(1)
        settle(actions_of(batch)[0])
        Delivery.objects.update(take_url="javascript:alert(1)")

        assert 'href="javascript' not in page_of(office.as_("coordinator"), batch)

    def test_escapes_hostile_names_and_messages(self, office: Office) -> None:
        batch, hostile = office.batch(1), '"><script>alert(1)</script>'
        Candidate.objects.update(first_name=hostile)
        Action.objects.update(state=ActionState.NEEDS_ATTENTION, attention="refused", message=hostile)

        assert hostile not in page_of(office.as_("lead"), batch)

    def test_takes_as_many_queries_for_many_rows_as_for_few(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client, few, many = office.as_("lead"), office.batch(2), office.batch(90)
        for action in [*actions_of(few), *actions_of(many)]:
            settle(action, ActionState.UNKNOWN)
        with django_assert_max_num_queries(40) as taken:
            page_of(client, few)

        with django_assert_max_num_queries(len(taken)):
            page_of(client, many)


class TestProgress:
    def test_says_nothing_while_nothing_changed(self, office: Office) -> None:
        batch, client = office.batch(3), office.as_("coordinator")

        answer = poll(client, batch, page_of(client, batch))

        assert answer.status_code == 204

    def test_brings_the_cells_of_the_rows_that_changed_and_no_other(self, office: Office) -> None:
        batch, client = office.batch(3), office.as_("coordinator")
        page = page_of(client, batch)
        changed, *others = actions_of(batch)
        settle(changed)

        answer = poll(client, batch, page)

        text = answer.content.decode()
        assert answer.status_code == 200
        assert f'id="state-{changed.pk}" hx-swap-oob="true"' in text
        assert f'id="links-{changed.pk}" hx-swap-oob="true"' in text
        assert not any(str(other.pk) in text for other in others)
        assert "1 of 3 finished" in text

    def test_brings_a_row_that_changed_before_the_newest_that_was_seen(self, office: Office) -> None:
        batch, client = office.batch(2), office.as_("coordinator")
        first, second = actions_of(batch)
        early = datetime.now(UTC)
        settle(second)
        page = page_of(client, batch)
        settle(first)
        Action.objects.filter(pk=first.pk).update(changed_at=early)  # its transaction was slower to commit

        text = poll(client, batch, page).content.decode()

        assert f"state-{first.pk}" in text
        assert f"state-{second.pk}" not in text

    def test_brings_both_of_two_rows_that_changed_in_one_instant(self, office: Office) -> None:
        batch, client = office.batch(2), office.as_("coordinator")
        page = page_of(client, batch)
        Action.objects.update(state=ActionState.SENDING, changed_at=datetime.now(UTC))

        assert poll(client, batch, page).content.decode().count('id="state-') == 2

    def test_leaves_out_rows_of_another_page(self, office: Office) -> None:
        batch, client = office.batch(110), office.as_("coordinator")
        page = page_of(client, batch, page=2)
        Action.objects.update(state=ActionState.SENDING, changed_at=datetime.now(UTC))

        assert poll(client, batch, page).content.decode().count('id="state-') == 10

    def test_ends_the_polling_once_nothing_can_change(self, office: Office) -> None:
        batch, client = office.batch(1), office.as_("coordinator")
        page = page_of(client, batch)
        settle(actions_of(batch)[0])

        answer = poll(client, batch, page)

        assert answer.status_code == 286
        assert "<strong>Finished</strong>" in answer.content.decode()
        assert "hx-trigger" not in page_of(client, batch).partition('id="progress"')[2].partition(">")[0]

    def test_offers_to_invite_as_soon_as_all_is_settled(self, office: Office) -> None:
        batch = office.batch(2)
        client = office.as_("coordinator")
        page = page_of(client, batch)
        assert "Invite all who have none" not in page
        first, second = actions_of(batch)

        settle(first)
        assert "Invite all who have none" not in poll(client, batch, page).text
        settle(second)

        assert "Invite all who have none (2)" in poll(client, batch, page).text

    def test_goes_on_while_an_unknown_outcome_is_looked_up(self, office: Office) -> None:
        batch, client = office.batch(1), office.as_("coordinator")
        page = page_of(client, batch)
        settle(actions_of(batch)[0], ActionState.UNKNOWN, look_due_at=datetime.now(UTC))

        assert poll(client, batch, page).status_code == 200

    def test_asks_little_of_the_database(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        batch, client = office.batch(90), office.as_("lead")
        page = page_of(client, batch)
        for action in actions_of(batch):
            settle(action)

        with django_assert_max_num_queries(10):
            poll(client, batch, page)

    def test_fits_into_an_address_for_a_whole_page(self, office: Office) -> None:
        batch, client = office.batch(100), office.as_("coordinator")

        query = "&".join(f"seen={value}" for value in seen_in(page_of(client, batch)))

        assert len(query) < 3_000


class TestProctorLink:
    @pytest.fixture
    def delivery(self, office: Office) -> Delivery:
        return factories.make_delivery(office.exam, factories.make_candidate(office.team), state=DeliveryState.CREATED)

    def test_is_shown_by_a_press_and_the_journal_says_to_whom(self, office: Office, delivery: Delivery) -> None:
        answer = office.as_("coordinator").post(reverse("proctor_link", args=[delivery.pk]))

        assert factories.PROCTOR_URL in answer.content.decode()
        entry = JournalEntry.objects.get(event="delivery.proctor_link_shown")
        assert entry.by == office.members["coordinator"]
        assert entry.target == str(delivery.pk)

    def test_comes_as_a_fragment_into_the_page(self, office: Office, delivery: Delivery) -> None:
        url = reverse("proctor_link", args=[delivery.pk])

        answer = office.as_("coordinator").post(url, headers={"HX-Request": "true"})

        assert factories.PROCTOR_URL in answer.content.decode()
        assert "<html" not in answer.content.decode()

    def test_is_not_for_viewers_nor_by_a_mere_visit(self, office: Office, delivery: Delivery) -> None:
        url = reverse("proctor_link", args=[delivery.pk])

        assert office.as_("viewer").post(url).status_code == 403
        assert office.as_("lead").get(url).status_code == 405
        assert not JournalEntry.objects.exists()


class TestCancel:
    def test_cancels_what_waits_with_a_reason(self, office: Office) -> None:
        batch = office.batch(2)
        settle(actions_of(batch)[0])

        answer = office.as_("lead").post(reverse("batch_cancel", args=[batch.pk]), {"reason": "Wrong day"}, follow=True)

        assert "1 delivery cancelled before anything was sent." in answer.content.decode()
        assert JournalEntry.objects.get(event="action.cancelled").reason == "Wrong day"

    def test_does_nothing_without_a_reason(self, office: Office) -> None:
        batch = office.batch(1)

        answer = office.as_("lead").post(reverse("batch_cancel", args=[batch.pk]), {"reason": " "}, follow=True)

        assert "Nothing was cancelled" in answer.content.decode()
        assert Action.objects.get().state == ActionState.QUEUED

    def test_tells_a_coordinator_whom_to_ask(self, office: Office) -> None:
        batch = office.batch(1)

        answer = office.as_("coordinator").post(reverse("batch_cancel", args=[batch.pk]), {"reason": "x"})

        assert answer.status_code == 403
        assert "Ask a lead of Northern exams: the-" in answer.content.decode()
        assert Action.objects.get().state == ActionState.QUEUED


class TestExport:
    @staticmethod
    def rows(answer: Any) -> list[list[str]]:
        return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))

    @pytest.fixture
    def batch(self, office: Office) -> Batch:
        batch = office.batch(1)
        settle(actions_of(batch)[0])
        Candidate.objects.update(first_name="=cmd|' /C calc'!A0")
        return batch

    def test_has_the_take_link_and_no_formula(self, office: Office, batch: Batch) -> None:
        answer = office.as_("coordinator").get(reverse("batch_export", args=[batch.pk, "csv"]))

        headers, row = self.rows(answer)
        assert row[headers.index("Take link")] == factories.TAKE_URL
        assert row[0].startswith("'=")
        assert "Proctor link" not in headers
        assert not JournalEntry.objects.filter(event="delivery.proctor_link_shown").exists()

    def test_has_proctor_links_only_with_the_tick_and_a_journal_row(self, office: Office, batch: Batch) -> None:
        url = reverse("batch_export", args=[batch.pk, "csv"])

        without = self.rows(office.as_("coordinator").get(url, {"proctor_links": "1"}))
        with_them = self.rows(office.as_("coordinator").post(url, {"proctor_links": "1"}))

        assert "Proctor link" not in without[0]
        assert with_them[1][-1] == factories.PROCTOR_URL
        assert JournalEntry.objects.filter(event="delivery.proctor_link_shown").count() == 1

    def test_comes_as_a_workbook(self, office: Office, batch: Batch) -> None:
        answer = office.as_("coordinator").get(reverse("batch_export", args=[batch.pk, "xlsx"]))

        sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
        assert sheet is not None
        assert [cell.value for cell in next(sheet.iter_rows())][:2] == ["First name", "Last name"]

    def test_is_not_for_viewers_and_has_no_other_format(self, office: Office, batch: Batch) -> None:
        url = reverse("batch_export", args=[batch.pk, "csv"])

        assert office.as_("viewer").get(url).status_code == 403
        assert office.as_("viewer").post(url, {"proctor_links": "1"}).status_code == 403
        assert office.as_("lead").get(reverse("batch_export", args=[batch.pk, "pdf"])).status_code == 404
