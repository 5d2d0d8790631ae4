"""Logs: an address that lets its holder in, and the secrets of the settings, never stand in one whole."""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.conf import LazySettings
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from config.logs import masking_filter
from proctoring import keys, links
from proctoring.models import Delivery, DeliveryState
from proctoring.vendors.masking import MASK
from proctoring.views import candidate
from tests import factories, processes


@pytest.fixture
def delivery(db: None) -> Delivery:
    cache.clear()
    exam = factories.make_exam(factories.make_account(factories.make_team()))
    return factories.make_delivery(exam, factories.make_candidate(exam.team), state=DeliveryState.CREATED)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a handler writes that an operator has added, without a filter of its own."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().handlers.insert(0, handler)  # before any that masks what the others then write
    yield text
    logging.getLogger().removeHandler(handler)


class TestDjangosOwnWarnings:
    @pytest.mark.parametrize(
        ("method", "status", "words"),
        [("put", 405, "Method Not Allowed"), ("post", 409, "Conflict"), ("get", 429, "Too Many Requests")],
    )
    def test_do_not_hold_a_candidates_link(
        self,
        delivery: Delivery,
        log: io.StringIO,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        status: int,
        words: str,
    ) -> None:
        if status == 409:
            Delivery.objects.update(is_revoked=True)
        if status == 429:
            monkeypatch.setattr(candidate, "MOST_A_MINUTE", 0)
        token = links.token_of(delivery)

        answer = getattr(Client(), method)(reverse("candidate", args=[token]))

        assert answer.status_code == status
        assert f"{words}" in log.getvalue()
        assert f"/c/{MASK}" in log.getvalue()
        assert token not in log.getvalue()

    @pytest.mark.parametrize("made_of_it", ["{}>", "more/{}", "{}=20and", "{}%20", "{}/and/more"])
    def test_do_not_hold_what_a_mail_program_made_of_it(
        self, delivery: Delivery, log: io.StringIO, made_of_it: str
    ) -> None:
        token = links.token_of(delivery)

        answer = Client().get("/c/" + made_of_it.format(token))

        assert answer.status_code == 404
        assert "Not Found: /c/" in log.getvalue()
        assert token not in log.getvalue()

    def test_do_not_hold_a_link_that_was_searched_for(self, delivery: Delivery, log: io.StringIO) -> None:
        token = links.token_of(delivery)

        logging.getLogger("django.server").propagate = True
        try:
            logging.getLogger("django.server").info(
                '"GET /search/?q=%s HTTP/1.1" 200 9', f"https%3A%2F%2Fx%2Fc%2F{token}"
            )
        finally:
            logging.getLogger("django.server").propagate = False

        assert MASK in log.getvalue()
        assert token not in log.getvalue()

    def test_are_not_written_by_a_handler_that_masks_nothing(self) -> None:
        for name in ("django", "django.request", "django.server", "django.security"):
            handlers = [
                item for item in logging.getLogger(name).handlers if not type(item).__module__.startswith("_pytest")
            ]
            assert all(handler.filters for handler in handlers), name


class TestGunicorn:
    def test_writes_no_candidates_link_into_its_access_log(self, transactional_db: None, tmp_path: Path) -> None:
        exam = factories.make_exam(factories.make_account(factories.make_team()))
        delivery = factories.make_delivery(exam, factories.make_candidate(exam.team), state=DeliveryState.CREATED)
        token = links.token_of(delivery)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        logs = tmp_path / "access", tmp_path / "errors"
        written = ("--access-logfile", str(logs[0]), "--error-logfile", str(logs[1]), "--log-level", "debug")
        where = ("--bind", f"127.0.0.1:{port}", "--threads", "2")

        with processes.running("-m", "gunicorn", "config.wsgi", *where, *written):
            assert processes.eventually(lambda: _asks(port, f"/c/{token}/"))
            referer = {"Referer": f"http://127.0.0.1:{port}/c/{token}/"}
            requests.get(f"http://127.0.0.1:{port}/search/?q=http://x/c/{token}/", headers=referer, timeout=20)
            assert processes.eventually(lambda: logs[0].read_text().count("GET ") >= 3)

        text = logs[0].read_text() + logs[1].read_text()
        assert f"GET /c/{MASK}" in text
        assert token not in text


def _asks(port: int, path: str) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=20).status_code == 200
    except requests.ConnectionError:
        return False


class TestTheSecretsOfTheSettings:
    def test_are_masked_wherever_they_are_written(
        self, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "console", "relay-pa55word-Qv8"
        settings.CELERY_BROKER_URL = "redis://:br0ker-pa55word@cache.example.org/0"
        monkeypatch.setitem(settings.DATABASES, "other", {"USER": "console", "PASSWORD": "d4tabase-pa55word"})
        text = f"{settings.SECRET_KEY} relay-pa55word-Qv8 br0ker-pa55word d4tabase-pa55word {settings.FIELD_ENCRYPTION_KEYS[0]}"
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s", (text,), None)

        masking_filter().filter(record)

        assert record.getMessage() == " ".join([MASK] * 5)

    def test_do_not_count_a_password_that_is_the_users_own_name(self, settings: LazySettings) -> None:
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = "console"

        assert "console" not in keys.of_settings()
