"""The database restarted under the workers: a token in memory is not lost, and nothing is sent twice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proctoring.sandbox.server import Sandbox
from tests import processes
from tests.servers import Postgres

FILL = """
import sys, django
django.setup()
from tests.world import World
from types import SimpleNamespace
sandbox = SimpleNamespace(url=lambda vendor: sys.argv[1])
world = World.at(sandbox, calls_at_once=4)
world.deliver(30)
"""
STATES = """
import json, django
django.setup()
from proctoring.models import Action, Delivery
print(json.dumps({"states": list(Action.objects.values_list("state", flat=True)),
                  "links": [[d.ref, d.take_url] for d in Delivery.objects.all()]}))
"""


def _script(environment: dict[str, str], code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=processes.ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestADatabaseRestart:
    def test_loses_no_link_and_sends_nothing_twice(
        self, sandbox: Sandbox, postgres_server: Postgres, console_dir: os.PathLike[str]
    ) -> None:
        import json

        environment = {
            **os.environ,
            "VAR_DIR": str(console_dir),
            "DATABASE_URL": postgres_server.url,
            "CELERY_BROKER_URL": "filesystem://",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "SWEEP_SECONDS": "1",
            "LOG_LEVEL": "ERROR",
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=processes.ROOT, env=environment, check=True)
        _script(environment, FILL, sandbox.url("scorpion"))
        sandbox.fault("scorpion", "slow", seconds=0.25)
        overrides = {name: environment[name] for name in ("VAR_DIR", "DATABASE_URL", "CELERY_BROKER_URL", "LOG_LEVEL")}
        overrides |= {
            "FIELD_ENCRYPTION_KEYS": "",
            "SECRET_KEY": "",
            "CALL_DEADLINE_SECONDS": "20",
            "LEASE_MARGIN_SECONDS": "10",
        }

        with processes.worker(**overrides), processes.scheduler(**overrides):
            assert processes.eventually(lambda: len(sandbox.state("scorpion").get("deliveries", [])) >= 5)
            postgres_server.restart()
            is_done = processes.eventually(lambda: _is_done(environment), seconds=110, every=1)

        outcome = json.loads(_script(environment, STATES))
        there = {item["id"]: item for item in sandbox.state("scorpion")["deliveries"]}
        assert is_done, outcome["states"]
        assert len(there) == 30
        assert all(url.endswith(there[ref]["launch_token"]) for ref, url in outcome["links"])


def _is_done(environment: dict[str, str]) -> bool:
    import json

    return set(json.loads(_script(environment, STATES))["states"]) == {"done"}


pytestmark = pytest.mark.timeout(180)
