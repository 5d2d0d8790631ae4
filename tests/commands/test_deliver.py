"""`deliver`: a roster in, links out; nothing half-saved, nothing twice, and an exit code that scripts can trust."""

from __future__ import annotations

import json
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from proctoring.models import Account, Action, Batch, Candidate, Delivery, Exam, JournalEntry
from proctoring.vendors.registry import demo
from tests import factories, processes
from tests.commands.console import rows, say, type_in, well
from tests.world import World, now

HEADER = "First name,Last name,E-mail,Phone,External id,Time zone,Language,Special needs,Extra time (%)"
ROW = {
    "line",
    "candidate",
    "email",
    "attempt",
    "state",
    "delivery",
    "vendor_ref",
    "examinee_ref",
    "take_link",
    "proctor_link",
    "message",
}
Roster = Callable[..., str]


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    """Writes a roster with these lines below the header; returns its path."""

    def write(*lines: str, data: bytes | None = None, name: str = "roster.csv") -> str:
        path = tmp_path / name
        path.write_bytes("\n".join([HEADER, *lines]).encode() if data is None else data)
        return str(path)

    return write


@pytest.fixture
def exam(db: None) -> Exam:
    account = factories.make_account(factories.make_team("Northern exams"), name="North")
    return factories.make_exam(account, title="Widgets", ref=demo("scorpion").EXAMS[0]["ref"])


def ann(number: int = 1, rest: str = "") -> str:
    return f"Ann,Lee {number},ann{number}@example.org,{rest}"


class TestABadRoster:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("Ann,Lee,ann.example.org,", "line 3, email: “ann.example.org” is not an e-mail address."),
            (",Lee,x@example.org,", "line 3, first_name: The first name is empty."),
            ("Ann,Lee,,", "line 3, email: The e-mail is empty."),
            ("Ann,Lee,x@example.org,12", "line 3, phone: “12” is too short"),
            ("Ann,Lee,x@example.org,,,Mars/Olympus", "line 3, time_zone: “Mars/Olympus” is not a time zone"),
            ("Ann,Lee,x@example.org,,,,Klingon", "line 3, language: “Klingon” is not a language code."),
            ("Ann,Lee,x@example.org,,,,,perhaps", "line 3, special_needs: “perhaps” is neither yes nor no."),
            ("Ann,Lee,x@example.org,,,,,,much", "line 3, extra_time_percent: “much” is not a whole percentage"),
            ("Bo,Ek,ANN1@example.org,", "line 3, email: “ann1@example.org” is already on line 2."),
            ("Ann,Lee,x@example.org,,,,,,,,more", "line 3, There are 11 values and 9 columns."),
            ('Ann,"Lee,x@example.org,', "line 3"),
        ],
    )
    def test_is_refused_where_it_is_to_be_strict_with_line_and_field_and_nothing_is_saved(
        self, exam: Exam, roster: Roster, line: str, words: str
    ) -> None:
        before = rows()

        said = say("deliver", "Widgets", roster(ann(), line), "--strict")

        assert words in (said.error or "")
        assert "Nothing was delivered" in (said.error or "")
        assert rows() == before

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("Ann,Lee,ann.example.org,", "line 3, email: “ann.example.org” is not an e-mail address."),
            ("Ann,Lee,x@example.org,12", "line 3, phone: “12” is too short"),
            ("Bo,Ek,ANN1@example.org,", "line 3, email: “ann1@example.org” is already on line 2."),
            ("Ann,Lee,x@example.org,,,,,,,,more", "line 3, There are 11 values and 9 columns."),
        ],
    )
    def test_line_is_named_with_its_field_and_does_not_stop_the_others(
        self, exam: Exam, roster: Roster, line: str, words: str
    ) -> None:
        said = say("deliver", "Widgets", roster(ann(), line, ann(4)), "--format", "json")

        assert words in (said.error or "")
        assert "1 of 3 gets no delivery; each line says why." in (said.error or "")
        assert [(row["line"], row["state"]) for row in said.json] == [(2, "queued"), (3, "refused"), (4, "queued")]
        assert sorted(Candidate.objects.values_list("email", flat=True)) == ["ann1@example.org", "ann4@example.org"]

    def test_that_is_strict_stops_for_whoever_would_get_none(self, exam: Exam, roster: Roster) -> None:
        before = rows()

        said = say("deliver", "Widgets", roster(ann(), ann(2, ",,,,,25")), "--strict", "--format", "json")

        assert said.error == "Nothing was delivered. Correct the roster first."
        assert [row["state"] for row in said.json] == ["ready", "asks"]
        assert rows() == before

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "is empty"),
            (b" \n\n", "is empty"),
            ((HEADER + "\n").encode(), "no"),
            ((HEADER + "\nJos\u00e9,Lee,j@example.org").encode("latin-1"), "line 2, The file is not in UTF-8"),
            (b"First name,Last name\nAnn,Lee", "E-mail"),
            (b"\xff\xfeA", "damaged"),
            (b"A\0B", "NUL"),
            (b"%PDF-1.7", "PDF"),
            (b"PK\x03\x04 not a workbook", ""),
        ],
    )
    def test_that_cannot_be_read_is_refused_and_nothing_is_saved(
        self, exam: Exam, roster: Roster, data: bytes, words: str
    ) -> None:
        before = rows()

        said = say("deliver", "Widgets", roster(data=data))

        assert said.error
        assert words in said.error
        assert rows() == before

    def test_that_is_not_there_is_named(self, exam: Exam, tmp_path: Path) -> None:
        said = say("deliver", "Widgets", tmp_path / "none.csv")

        assert said.error == f"{tmp_path / 'none.csv'} cannot be read: No such file or directory."

    def test_of_5000_rows_has_every_fault_named_quickly(self, exam: Exam, roster: Roster) -> None:
        lines = [f"Ann,Lee {n},{'' if n % 100 == 7 else f'ann{n}@example.org'},,C-{n}" for n in range(5000)]
        before, started = rows(), time.monotonic()

        said = say("deliver", "Widgets", roster(*lines), "--strict")

        faults = (said.error or "").splitlines()[:-1]
        assert len(faults) == 50
        assert faults[0] == "line 9, email: The e-mail is empty. Fill it in."
        assert rows() == before
        assert time.monotonic() - started < 10

    def test_is_refused_in_a_dry_run_too(self, exam: Exam, roster: Roster) -> None:
        assert "line 2, email" in (say("deliver", "Widgets", roster("Ann,Lee,x,"), "--dry-run").error or "")


class TestARefusal:
    @pytest.mark.parametrize(
        ("model", "changes", "words"),
        [
            (
                Exam,
                {"ends_at": datetime(2026, 1, 1, tzinfo=UTC)},
                "The exam's window has closed. Move the window first.",
            ),
            (Exam, {"is_archived": True}, "The exam is archived."),
            (Exam, {"ref": ""}, "The exam has no vendor's reference yet."),
            (Account, {"is_archived": True}, "The account North is archived."),
            (Account, {"credentials": {}}, "The account North has no credentials yet."),
            (Account, {"permissions": ["view"]}, "was not granted the permission “create”"),
            (Account, {"paused_at": datetime(2026, 1, 1, tzinfo=UTC), "pause_reason": "401."}, "North is paused: 401."),
            (Account, {"paused_verbs": {"create_deliveries": {"reason": "403."}}}, "North may not do this: 403."),
        ],
    )
    @pytest.mark.parametrize("option", ["--wait", "--dry-run"])
    def test_is_a_sentence_at_once_and_saves_nothing(
        self, exam: Exam, roster: Roster, model: type[Any], changes: dict[str, Any], words: str, option: str
    ) -> None:
        model.objects.update(**changes)
        before, started = rows(), time.monotonic()

        said = say("deliver", "Widgets", roster(ann()), option)

        assert words in (said.error or "")
        assert rows() == before
        assert time.monotonic() - started < 10

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["Gadgets"], "There is no exam “Gadgets”. Known are: Widgets."),
            (["Widgets", "--team", "Elsewhere"], "There is no team “Elsewhere”."),
            (["Widgets", "--by", "nobody"], "There is no user “nobody”."),
            (["Widgets", "--set", "colour=red"], "--set colour: there is no such field. Known are: form_id, meta."),
            (["Widgets", "--set", "form_id=x"], "--set form_id: This is not a UUID"),
            (["Widgets", "--set", "meta={"], "--set meta: This is not JSON."),
        ],
    )
    def test_names_what_was_mistyped(self, exam: Exam, roster: Roster, arguments: list[str], words: str) -> None:
        before, (name, *options) = rows(), arguments

        said = say("deliver", name, roster(ann()), *options)

        assert words in (said.error or "")
        assert rows() == before

    def test_asks_which_of_two_exams_is_meant_and_takes_an_id(self, exam: Exam, roster: Roster) -> None:
        other = factories.make_exam(exam.account, title="widgets")

        assert "more than one exam" in (say("deliver", "Widgets", roster(ann())).error or "")
        assert say("deliver", other.pk, roster(ann())).error is None
        assert Delivery.objects.get().exam == other


class TestADryRun:
    def test_changes_nothing_and_says_who_would_get_a_delivery(self, exam: Exam, roster: Roster) -> None:
        has_one = factories.make_candidate(exam.team, email="ann2@example.org")
        factories.make_delivery(exam, has_one)
        before = rows()

        said = well("deliver", "Widgets", roster(ann(1), ann(2), ann(3, ",,,,,25")), "--dry-run", "--format", "json")

        assert [(row["line"], row["state"]) for row in said.json] == [(2, "ready"), (3, "unchanged"), (4, "asks")]
        assert all(set(row) == ROW for row in said.json)
        assert "Has a delivery for this exam already" in said.json[1]["message"]
        assert "--arranged" in said.json[2]["message"]
        assert rows() == before

    def test_counts_what_is_arranged(self, exam: Exam, roster: Roster) -> None:
        said = well("deliver", "Widgets", roster(ann(1, ",,,,,25")), "--dry-run", "--arranged", "--format", "json")

        assert [row["state"] for row in said.json] == ["ready"]
        assert "--arranged" not in said.json[0]["message"]
        assert not Delivery.objects.exists()


class TestWithoutWaiting:
    def test_queues_and_says_so(self, exam: Exam, roster: Roster) -> None:
        said = well("deliver", "Widgets", roster(ann(1), ann(2)), "--reason", "Spring")

        assert "line 2: Ann Lee 1 <ann1@example.org>: queued" in said.out
        assert "2 queued. A worker sends them" in said.out
        assert set(Action.objects.values_list("state", "reason")) == {("queued", "Spring")}

    def test_prints_json_and_ends_badly_where_somebody_gets_none(self, exam: Exam, roster: Roster) -> None:
        said = say("deliver", "Widgets", roster(ann(1, ",,,,,25"), ann(2)), "--format", "json")

        assert said.error == "1 of 2 gets no delivery; each line says why."
        assert [(row["line"], row["state"], bool(row["delivery"])) for row in said.json] == [
            (2, "asks", False),
            (3, "queued", True),
        ]
        assert all(set(row) == ROW for row in said.json)

    def test_a_second_run_ends_well_changes_nothing_and_asks_for_nothing(self, exam: Exam, roster: Roster) -> None:
        path = roster(ann(1), ann(2))
        well("deliver", "Widgets", path)
        before = rows()

        said = well("deliver", "Widgets", path, "--format", "json")
        as_text = well("deliver", "Widgets", path)

        assert [(row["state"], bool(row["delivery"])) for row in said.json] == [("unchanged", True)] * 2
        assert "line 2: Ann Lee 1 <ann1@example.org>: unchanged" in as_text.out
        assert "It is waiting." in as_text.out
        assert "Nothing new was asked for." in as_text.out
        assert rows() == before

    def test_says_which_details_of_somebody_who_has_a_delivery_were_left_alone(
        self, exam: Exam, roster: Roster
    ) -> None:
        well("deliver", "Widgets", roster(ann()))

        said = well("deliver", "Widgets", roster("Anne,Lee 1,ann1@example.org,"), "--format", "json")

        assert "What the roster says anew was left alone: first_name." in said.json[0]["message"]
        assert Candidate.objects.get().first_name == "Ann"

    def test_a_second_run_ends_well_after_the_window_has_closed(self, exam: Exam, roster: Roster) -> None:
        well("deliver", "Widgets", roster(ann()))
        Exam.objects.update(starts_at=None, ends_at=now() - timedelta(days=1))

        said = well("deliver", "Widgets", roster(ann()), "--format", "json")

        assert [row["state"] for row in said.json] == ["unchanged"]

    def test_a_second_run_says_what_of_the_first_waits_for_a_person(self, exam: Exam, roster: Roster) -> None:
        well("deliver", "Widgets", roster(ann(1), ann(2)))
        Action.objects.filter(delivery__candidate__email="ann1@example.org").update(state="unknown", message="Lost.")

        said = say("deliver", "Widgets", roster(ann(1), ann(2)), "--format", "json")

        assert said.error == "1 of 2 is not done. The page “Needs attention” says what to do."
        assert [row["state"] for row in said.json] == ["unknown", "unchanged"]
        assert said.json[0]["message"].endswith("Lost.")

    @pytest.mark.parametrize(
        ("again", "line"),
        [
            (ann(1, ",E-1"), 2),
            ("Ann,Lee 1,ANN1@example.org,,E-1", 2),
            ("Ann,Lee 1,other@example.org,,KNOWN", 3),
        ],
    )
    def test_a_person_who_stands_there_twice_is_taken_once_and_said(
        self, exam: Exam, roster: Roster, again: str, line: int
    ) -> None:
        factories.make_candidate(exam.team, email="known@example.org", external_id="KNOWN")

        said = well(
            *("deliver", "Widgets", roster(ann(1, ",E-1"), "K,Nown,known@example.org,", again), "--format", "json")
        )

        assert [(row["line"], row["state"]) for row in said.json] == [(2, "queued"), (3, "queued"), (4, "duplicate")]
        assert said.json[2]["message"] == f"The same candidate as line {line}. Taken once."
        assert Delivery.objects.count() == 2

    def test_an_accommodation_is_refused_until_it_is_said_to_be_arranged(self, exam: Exam, roster: Roster) -> None:
        path = roster(ann(1, ",,,,,25"))

        refused = say("deliver", "Widgets", path)
        una = factories.make_user(username="una", team=exam.team)
        queued = say("deliver", "Widgets", path, "--arranged", "--by", una.username)

        assert "None of these candidates" in (refused.error or "")
        assert "say so with --arranged" in refused.out
        assert queued.error is None
        entry = JournalEntry.objects.get(event="delivery.arranged")
        assert (entry.target, entry.by and entry.by.username) == (str(Delivery.objects.get().pk), "una")

    def test_is_not_for_a_stranger_to_the_team(self, exam: Exam, roster: Roster) -> None:
        stranger = factories.make_user(username="una")

        said = say("deliver", "Widgets", roster(ann(1)), "--by", stranger.username)

        assert "una may not deliver exams of" in (said.error or "")
        assert not Delivery.objects.exists()

    def test_reads_standard_input(self, exam: Exam, monkeypatch: pytest.MonkeyPatch) -> None:
        type_in(monkeypatch, f"{HEADER}\n{ann()}".encode())

        well("deliver", "Widgets", "-")

        assert Candidate.objects.get().email == "ann1@example.org"

    def test_keeps_the_draft_of_nobody_for_long(self, exam: Exam, roster: Roster) -> None:
        well("deliver", "Widgets", roster(ann()))

        assert Batch.objects.get().plan["skipped"] == []


class TestWaiting:
    def test_prints_every_candidates_links_as_the_vendor_has_them(self, world: World, roster: Roster) -> None:
        said = well(
            "deliver",
            "Widgets",
            roster(ann(1), ann(2), ann(3)),
            "--wait",
            "--by",
            "lead",
            "--proctor-links",
            "--format",
            "json",
        )

        there = world.at_vendor()
        assert [(row["line"], row["state"], row["message"]) for row in said.json] == [
            (n, "done", "") for n in (2, 3, 4)
        ]
        for row in said.json:
            assert set(row) == ROW
            assert row["take_link"].endswith(there[row["vendor_ref"]]["launch_token"])
            assert row["proctor_link"].endswith(there[row["vendor_ref"]]["proctor_token"])
            assert row["examinee_ref"] == there[row["vendor_ref"]]["examinee_id"]
        shown = JournalEntry.objects.filter(event="delivery.proctor_link_shown")
        assert set(shown.values_list("target", "by")) == {(row["delivery"], world.lead.pk) for row in said.json}
        assert not any("http" in json.dumps(entry.facts) for entry in JournalEntry.objects.all())
        world.assert_agrees()

    def test_prints_the_links_as_text(self, world: World, roster: Roster) -> None:
        said = well("deliver", "Widgets", roster(ann()), "--wait")

        delivery = Delivery.objects.get()
        assert said.out.splitlines() == [
            "line 2: Ann Lee 1 <ann1@example.org>: done",
            f"    take    {delivery.take_url}",
        ]
        assert not JournalEntry.objects.filter(event="delivery.proctor_link_shown").exists()

    def test_prints_proctor_links_only_where_they_are_asked_for(self, world: World, roster: Roster) -> None:
        path = roster(ann())

        without = well("deliver", "Widgets", path, "--wait", "--format", "json")
        assert without.json[0]["proctor_link"] is None
        assert not JournalEntry.objects.filter(event="delivery.proctor_link_shown").exists()

        again = well("deliver", "Widgets", path, "--wait", "--proctor-links", "--by", "lead", "--format", "json")
        delivery = Delivery.objects.get()
        assert (again.json[0]["state"], again.json[0]["proctor_link"]) == ("unchanged", delivery.proctor_url)
        entry = JournalEntry.objects.get(event="delivery.proctor_link_shown")
        assert (entry.target, entry.by) == (str(delivery.pk), world.lead)

    def test_a_second_run_makes_no_second_delivery_at_the_vendor(self, world: World, roster: Roster) -> None:
        path = roster(ann(1), ann(2))
        well("deliver", "Widgets", path, "--wait")
        before = len(world.sandbox.requests("scorpion"))

        again = well("deliver", "Widgets", path, "--wait", "--format", "json")

        assert [row["state"] for row in again.json] == ["unchanged", "unchanged"]
        assert all(row["take_link"] for row in again.json)
        assert len(world.sandbox.requests("scorpion")) == before
        assert len(world.at_vendor()) == 2

    def test_a_longer_roster_adds_only_who_is_new(self, world: World, roster: Roster) -> None:
        well("deliver", "Widgets", roster(ann(1)), "--wait")

        said = well("deliver", "Widgets", roster(ann(1), ann(2)), "--wait", "--format", "json")

        assert [row["state"] for row in said.json] == ["unchanged", "done"]
        assert len(world.at_vendor()) == 2

    def test_a_retake_is_attempt_2_of_the_same_examinee_without_a_form(self, world: World, roster: Roster) -> None:
        form = world.sandbox.state("scorpion")["exams"][0]["forms"][0]["id"]
        path = roster(ann())
        well("deliver", "Widgets", path, "--wait", "--set", f"form_id={form}")

        well("deliver", "Widgets", path, "--retake", "--wait")
        well("deliver", "Widgets", path, "--retake", "--wait", "--set", f"form_id={form}")

        bodies = [json.loads(item["body"]) for item in world.sandbox.requests("scorpion") if item["method"] == "POST"]
        examinee = Delivery.objects.get(attempt=1).person_ref
        assert [body.get("examinee_id") for body in bodies] == [None, examinee, examinee]
        assert [body.get("form_id") for body in bodies] == [form, None, form]
        assert sorted(Delivery.objects.values_list("attempt", flat=True)) == [1, 2, 3]
        assert set(Delivery.objects.values_list("person_ref", flat=True)) == {examinee}
        world.assert_agrees()

    def test_a_retake_of_nothing_is_refused(self, world: World, roster: Roster) -> None:
        said = say("deliver", "Widgets", roster(ann()), "--retake", "--wait")

        assert "nothing to retake" in said.out
        assert said.error
        assert world.at_vendor() == {}

    def test_names_of_every_script_arrive_unchanged(self, world: World, roster: Roster) -> None:
        names = ["مريم", "שׁלומית", "Ngọc", "नेहा", "𠮷田", "O’Neill-Ünal", "=SUM(A1)", "ก้อง", "می\u200cخواهم"]
        lines = [f"{name},Lee,p{n}@example.org," for n, name in enumerate(names)]

        said = well("deliver", "Widgets", roster(*lines), "--wait", "--format", "json")

        sent = {
            info["Email"]: info["First Name"]
            for item in world.sandbox.requests("scorpion")
            for info in [json.loads(item["body"])["examinee_info"]]
        }
        expected = {f"p{n}@example.org": name for n, name in enumerate(names)}
        assert sent == {email: _composed(name) for email, name in expected.items()}
        assert [row["candidate"] for row in said.json] == [f"{_composed(name)} Lee" for name in names]

    def test_options_reach_the_vendor(self, world: World, roster: Roster) -> None:
        well("deliver", "Widgets", roster(ann()), "--wait", "--set", 'meta={"cohort": "våren"}')

        (item,) = world.at_vendor().values()
        assert item["meta"] == {"cohort": "våren", "proctoring_reference": str(Action.objects.get().pk)}

    def test_ends_when_the_account_is_paused_in_between(self, world: World, roster: Roster) -> None:
        world.sandbox.control("scorpion", "regenerate_credentials")
        started = time.monotonic()

        said = say("deliver", "Widgets", roster(ann(1), ann(2)), "--wait")

        assert "2 of 2 are not done. The account Scorpion is paused:" in (said.error or "")
        assert "401" in (said.error or "")
        assert time.monotonic() - started < 20
        assert world.states() == {"queued": 2}

    def test_ends_when_a_permission_is_missing(self, world: World, roster: Roster) -> None:
        world.sandbox.control("scorpion", "set_permission", permission="create", is_granted="no")

        said = say("deliver", "Widgets", roster(ann()), "--wait")

        assert "The account Scorpion may not do this:" in (said.error or "")
        assert world.states() == {"queued": 1}

    def test_says_which_outcome_is_unknown_and_where_to_settle_it(self, world: World, roster: Roster) -> None:
        world.sandbox.fault("scorpion", "timeout_after", calls=1)
        Account.objects.update(calls_at_once=1)

        said = say("deliver", "Widgets", roster(ann(1), ann(2)), "--wait", "--format", "json")

        assert said.error == "1 of 2 is not done. The page “Needs attention” says what to do."
        assert Counter(row["state"] for row in said.json) == {"unknown": 1, "done": 1}
        (unknown,) = [row for row in said.json if row["state"] == "unknown"]
        assert unknown["message"]
        assert unknown["take_link"] == ""
        assert len(world.at_vendor()) == 2
        world.assert_agrees()

    def test_ends_at_its_time_out(self, world: World, roster: Roster) -> None:
        world.sandbox.fault("scorpion", "refused")

        said = say("deliver", "Widgets", roster(ann()), "--wait", "--timeout", "0.3")

        assert said.error == "1 of 1 is not done. A worker goes on with the one that waits."
        assert world.states() == {"queued": 1}

    def test_waits_for_what_an_earlier_run_asked_for(self, world: World, roster: Roster) -> None:
        well("deliver", "Widgets", roster(ann(1)))

        said = well("deliver", "Widgets", roster(ann(1), ann(2)), "--wait", "--format", "json")

        assert [(row["state"], bool(row["take_link"])) for row in said.json] == [("unchanged", True), ("done", True)]
        assert world.states() == {"done": 2}
        assert len(world.at_vendor()) == 2

    def test_prints_what_the_vendor_refused(self, world: World, roster: Roster) -> None:
        Exam.objects.update(ref=str(uuid4()))

        said = say("deliver", "Widgets", roster(ann()), "--wait", "--format", "json")

        assert "Needs attention" in (said.error or "")
        assert said.json[0]["state"] == "needs_attention"
        assert said.json[0]["message"]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


class TestAsAProcess:
    def test_delivers_with_no_worker_running_and_a_second_time_changes_nothing(
        self, world: World, roster: Roster
    ) -> None:
        path = roster(ann(1), ann(2, ",,,,,"))

        first = processes.run("manage.py", "deliver", "Widgets", path, "--wait", "--format", "json")
        second = processes.run("manage.py", "deliver", "Widgets", path, "--wait", "--format", "json")

        assert (first.returncode, first.stderr) == (0, "")
        assert [row["state"] for row in json.loads(first.stdout)] == ["done", "done"]
        assert (second.returncode, second.stderr) == (0, "")
        assert [row["state"] for row in json.loads(second.stdout)] == ["unchanged", "unchanged"]
        assert len(world.at_vendor()) == 2
        world.assert_agrees()

    def test_says_what_is_wrong_without_a_traceback(self, world: World, roster: Roster) -> None:
        Exam.objects.update(starts_at=None, ends_at=now() - timedelta(days=1))

        done = processes.run("manage.py", "deliver", "Widgets", roster(ann()))

        assert done.returncode == 1
        assert done.stderr == "CommandError: The exam's window has closed. Move the window first.\n"
