"""The journal: append-only, every event known, ids and facts only."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from proctoring import journal
from proctoring.models import Delivery, JournalEntry, Team
from tests import factories

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
WRITERS = {"entry": 0, "record": 0, "record_action": 0, "action_entry": 0, "_record": 0, "_move": 3, "_move_unknown": 3}


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team()


@pytest.fixture
def delivery(team: Team) -> Delivery:
    return factories.make_delivery(factories.make_exam(factories.make_account(team)), factories.make_candidate(team))


class TestEntry:
    def test_names_what_happened_to_what_by_whom_and_why(self, delivery: Delivery) -> None:
        user = factories.make_user(team=delivery.team)
        action = factories.make_action(delivery)

        entry = journal.entry(
            "delivery.requested",
            delivery,
            team=delivery.team,
            at=NOW,
            by=user,
            action=action,
            reason="Asked",
            attempt=2,
        )

        assert (entry.target_kind, entry.target, entry.action_id) == ("delivery", str(delivery.pk), action.pk)
        assert (entry.team, entry.by, entry.at, entry.reason, entry.facts) == (
            delivery.team,
            user,
            NOW,
            "Asked",
            {"attempt": 2},
        )

    def test_is_not_written_yet(self, delivery: Delivery) -> None:
        journal.entry("delivery.requested", delivery, team=delivery.team, at=NOW)

        assert not JournalEntry.objects.exists()

    def test_takes_known_events_only(self, delivery: Delivery) -> None:
        with pytest.raises(KeyError):
            journal.entry("delivery.vanished", delivery, team=delivery.team, at=NOW)
        with pytest.raises(KeyError):
            journal.record_action("delivery.vanished", factories.make_action(delivery), at=NOW)


class TestRecordAction:
    def test_is_about_the_actions_target(self, delivery: Delivery) -> None:
        action = factories.make_action(delivery)

        journal.record_action("action.done", action, at=NOW, call="a-call")

        entry = JournalEntry.objects.get()
        assert (entry.target_kind, entry.target) == ("delivery", str(delivery.pk))
        assert entry.facts == {"verb": "create_deliveries", "call": "a-call"}


class TestTheJournal:
    def test_cannot_be_changed_or_deleted(self, team: Team) -> None:
        journal.record("team.changed", team, team=team, at=NOW)

        with pytest.raises(TypeError, match="append-only"):
            JournalEntry.objects.update(reason="else")
        with pytest.raises(TypeError, match="append-only"):
            JournalEntry.objects.filter(team=team).delete()

        assert JournalEntry.objects.get().reason == ""

    def test_is_seen_by_its_team_only(self, team: Team) -> None:
        journal.record("team.changed", team, team=team, at=NOW)

        assert JournalEntry.objects.visible_to(factories.make_user(team=team)).count() == 1
        assert JournalEntry.objects.visible_to(factories.make_user(team=factories.make_team())).count() == 0

    def test_has_words_for_every_event_and_shows_an_old_one_as_it_is(self) -> None:
        assert all(journal.words(event) != event for event in journal.EVENTS)
        assert journal.words("of.another.version") == "of.another.version"

    def test_knows_every_event_that_the_code_writes(self) -> None:
        written = {event for path in _sources() for event in _events_in(path)}

        assert len(written) > 20
        assert written <= set(journal.EVENTS)


def _sources() -> list[Path]:
    return [
        path for path in (Path(django_settings.BASE_DIR) / "proctoring").rglob("*.py") if "sandbox" not in path.parts
    ]


def _events_in(path: Path) -> list[str]:
    """The first texts of calls that write to the journal: a dot inside and nothing but letters."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    found = []
    for call in calls:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        place = WRITERS.get(name)
        argument = call.args[place] if place is not None and len(call.args) > place else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and "." in argument.value:
            found.append(argument.value)
    return found
