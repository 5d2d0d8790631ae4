from __future__ import annotations

import threading
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from config.broker import Transport


@pytest.fixture
def channel(tmp_path: Path) -> Any:
    folders = {f"data_folder_{way}": str(tmp_path) for way in ("in", "out")}
    options = {**folders, "processed_folder": str(tmp_path / "processed"), "control_folder": str(tmp_path / "control")}
    return Connection("filesystem://", transport_options=options).channel()


class TestTheBrokerInFiles:
    def test_is_ours(self, channel: Any) -> None:
        assert isinstance(channel, Transport.Channel)

    def test_shows_a_message_only_once_it_is_whole(self, channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        looks: list[bool] = []
        write = Path.write_text

        def halfway(path: Path, text: str) -> int:
            write(path, text[:5])
            looks.append(is_empty(channel))
            return write(path, text)

        monkeypatch.setattr(Path, "write_text", halfway)

        channel._put("celery", {"body": "drain 7"})

        assert looks == [True]
        assert channel._get("celery") == {"body": "drain 7"}
        assert is_empty(channel)

    def test_waits_for_a_table_of_queues_that_another_process_is_writing(self, channel: Any, tmp_path: Path) -> None:
        table = tmp_path / "control" / "celery.exchange"
        table.parent.mkdir()
        table.write_text("")
        writer = threading.Timer(0.2, table.write_text, ['[["celery", "", "celery"]]'])
        writer.start()

        channel._queue_bind("celery", "celery", "", "celery")

        assert [row.queue for row in channel.get_table("celery")] == ["celery"]
        writer.join()

    def test_keeps_the_order_and_the_queues_apart(self, channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        times = iter([1.0, 2.0, 3.0])
        monkeypatch.setattr("config.broker.monotonic", lambda: next(times))

        for queue, number in (("celery", 1), ("other", 2), ("celery", 3)):
            channel._put(queue, {"number": number})

        assert [channel._get("celery")["number"] for _ in range(2)] == [1, 3]
        assert channel._size("other") == 1


def is_empty(channel: Any) -> bool:
    try:
        channel._get("celery")
    except Empty:
        return True
    return False
