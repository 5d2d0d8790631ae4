from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from django.conf import settings
from kombu import Connection
from kombu.exceptions import ChannelError

from config import broker
from config.broker import Transport
from proctoring.ledger import waking
from proctoring.models import Action
from tests import processes
from tests.world import World

HINT = {
    "body": "e30=",
    "content-type": "application/json",
    "headers": {},
    "properties": {
        "delivery_tag": "1",
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "celery"},
    },
}
WHOLE = json.dumps(HINT).encode()
RUBBISH: dict[str, bytes] = {
    "empty": b"",
    "cut off": WHOLE[:40],
    "binary": b"\x00\xff\xfe\x80rubbish",
    "no JSON": b"drain 7",
    "no message": b"[]",
    "a number": b"7",
    "without properties": b"{}",
    "without a way": json.dumps({**HINT, "properties": {"delivery_tag": "1"}}).encode(),
    "a body that is none": json.dumps({**HINT, "body": "e"}).encode(),
    "deep": b"[" * 100_000,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "messages"


@pytest.fixture
def channel(folder: Path) -> Any:
    return Connection("filesystem://", transport_options={"folder": str(folder)}).channel()


def take(channel: Any, queue: str = "celery") -> Any:
    try:
        return channel._get(queue)
    except Empty:
        return None


def full_disk(*_: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestTheBrokerInFiles:
    def test_is_ours(self, channel: Any) -> None:
        assert isinstance(channel, Transport.Channel)

    def test_shows_a_message_only_once_it_is_whole(
        self, channel: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[Any] = []
        write = Path.write_text

        def halfway(path: Path, text: str) -> int:
            write(path, text[:5])
            looks.append(take(channel))
            return write(path, text)

        monkeypatch.setattr(Path, "write_text", halfway)

        channel._put("celery", HINT)

        assert looks == [None]
        assert take(channel) == HINT
        assert list(folder.iterdir()) == []

    def test_keeps_the_order_and_the_queues_apart(self, channel: Any) -> None:
        for queue, number in (("celery", 1), ("other", 2), ("celery", 3)):
            channel._put(queue, {**HINT, "headers": {"number": number}})

        assert [take(channel)["headers"]["number"] for _ in range(2)] == [1, 3]
        assert channel._size("other") == 1
        assert channel._purge("other") == 1
        assert channel._size("other") == 0

    def test_gives_a_message_to_one_worker_only(self, channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        channel._put("celery", HINT)
        seen = channel._waiting("celery")
        monkeypatch.setattr(channel, "_waiting", lambda queue: seen)  # both have looked before either took it

        assert [take(channel), take(channel)] == [HINT, None]

    def test_makes_its_folder_again_where_somebody_took_it_away(self, channel: Any, folder: Path) -> None:
        channel._put("celery", HINT)
        (message,) = folder.iterdir()
        message.unlink()
        folder.rmdir()

        assert take(channel) is None
        channel._put("celery", HINT)
        assert take(channel) == HINT


class TestWhatCannotBeRead:
    @pytest.mark.parametrize("kind", RUBBISH)
    def test_is_set_aside_and_said_and_the_next_message_is_taken(
        self, channel: Any, folder: Path, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        folder.mkdir()
        (folder / "!bad.celery.msg").write_bytes(RUBBISH[kind])
        channel._put("celery", HINT)

        assert take(channel) == HINT
        assert take(channel) is None
        (line,) = caplog.messages
        assert f"{folder / '!bad.celery.msg'} is no message and was set aside" in line

    def test_may_be_a_folder(self, channel: Any, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        (folder / "!bad.celery.msg").mkdir(parents=True)
        channel._put("celery", HINT)

        assert take(channel) == HINT
        assert "was set aside" in caplog.text

    def test_is_skipped_where_it_cannot_even_be_moved_and_said_once(
        self, channel: Any, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        channel._put("celery", HINT)
        replace = Path.replace

        def refuse(path: Path, target: Path) -> Path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(Path, "replace", refuse)
        assert [take(channel), take(channel)] == [None, None]
        monkeypatch.setattr(Path, "replace", replace)

        assert [line.partition(": ")[2] for line in caplog.messages] == [
            "Permission denied. Let its folder belong to this user."
        ]
        assert take(channel) == HINT

    def test_is_a_channel_error_where_it_is_the_folder_itself(self, channel: Any, folder: Path) -> None:
        folder.write_text("")

        with pytest.raises(ChannelError, match=f"{folder} cannot be read: Not a directory"):
            take(channel)


class TestAFullDisk:
    @pytest.mark.parametrize("place", ["write_text", "replace"])
    def test_leaves_nothing_behind_and_is_a_channel_error(
        self, channel: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, place, full_disk)
            with pytest.raises(ChannelError, match=r"No message can be put into .*: No space left on device"):
                channel._put("celery", HINT)

        assert list(folder.iterdir()) == []
        channel._put("celery", HINT)
        assert take(channel) == HINT

    def test_breaks_no_request_and_the_next_hint_after_it_arrives(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        if not settings.CELERY_BROKER_URL.startswith("filesystem"):
            pytest.skip("the broker is another")
        queue: Any = Connection(
            settings.CELERY_BROKER_URL, transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS
        ).channel()
        queue._purge("celery")
        # As it is in a process that declares its queue only now: what fails first must not count as done.
        monkeypatch.setattr(Transport, "global_state", type(Transport.global_state)())

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", full_disk)
            world.deliver(2)
        assert Action.objects.count() == 2
        assert "The broker could not be told of work" in caplog.text
        assert queue._size("celery") == 0

        monkeypatch.setattr(waking, "_broken_until", 0.0)
        world.deliver(1)
        assert queue._size("celery") > 0
        queue._purge("celery")


class TestTheSweep:
    @pytest.fixture(autouse=True)
    def _is_due(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(broker, "_swept", {})

    @pytest.mark.parametrize("look", [take, lambda channel: channel._put("celery", HINT)])
    def test_deletes_what_nobody_heeds_any_more_and_leaves_what_is_fresh(
        self, channel: Any, folder: Path, look: Callable[[Any], Any]
    ) -> None:
        folder.mkdir()
        names = {"0_a.other.msg", "b.part", "0_c.celery.msg.taken"}
        for name in names:
            (folder / name).write_bytes(b"")
            os.utime(folder / name, (time.time() - 61,) * 2)
            (folder / f"fresh_{name}").write_bytes(b"")
        (folder / "a folder").mkdir()

        look(channel)

        left = {path.name for path in folder.iterdir()}
        assert not left & names
        assert left >= {f"fresh_{name}" for name in names}

    def test_happens_now_and_then_only(self, channel: Any, folder: Path) -> None:
        folder.mkdir()
        take(channel)
        (folder / "b.part").write_bytes(b"")
        os.utime(folder / "b.part", (0, 0))

        take(channel)

        assert (folder / "b.part").exists()

    def test_keeps_what_may_still_be_heeded(self) -> None:
        keeps = float(settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("keeps_seconds", broker.KEEPS_SECONDS))

        assert keeps >= waking.HINT_EXPIRES_SECONDS
        assert keeps >= settings.CELERY_BEAT_SCHEDULE["sweep"]["options"]["expires"]


class TestAWorker:
    def test_works_on_between_rubbish_and_beside_the_tables_of_an_older_version(
        self, world: World, console_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        messages, control = console_dir / "queue" / "messages", console_dir / "queue" / "control"
        for part in (messages, control):
            part.mkdir(parents=True)
        for number, data in enumerate(RUBBISH.values()):
            (messages / f"{number}_x.celery.msg").write_bytes(data)
        (control / "celery.exchange").write_bytes(b"")
        (console_dir / "beat-schedule").mkdir()
        world.deliver(2)
        here = {"VAR_DIR": str(console_dir), "CELERY_BROKER_URL": "filesystem://"}

        with processes.worker(**here) as worker, processes.scheduler(**here) as scheduler:
            assert processes.eventually(lambda: world.states() == {"done": 2}, seconds=30)
            assert worker.poll() is None
            assert scheduler.poll() is None

        assert not list(messages.glob("*.msg"))
