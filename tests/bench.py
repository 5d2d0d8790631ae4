"""How long 1,000 deliveries take against the account's own limit, with real processes.

    python -m tests.bench [--count 1000] [--at-once 16] [--seconds 0.1] [--runs 3] [--only embedded|servers]

Each call takes `--seconds` at the vendor, `--at-once` calls may be under way: the limit is count × seconds / at-once. A ratio
of 1.00 would mean that everything but the vendor is free. Prints a line a mode, the median of its runs beside the quickest
and the slowest, and fails where a median misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import servers

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {"embedded": 1.30, "servers": 1.25}
MEMORY_MIB = 250
WAIT_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=list(TARGETS))
    options = parser.parse_args()
    limit = options.count * options.seconds / options.at_once
    print(
        f"{options.count} deliveries, {options.seconds * 1000:.0f} ms a call, {options.at_once} at once: limit {limit:.2f} s"
    )
    misses = 0
    for mode in [options.only] if options.only else list(TARGETS):
        try:
            runs = [measure(mode, options) for _ in range(options.runs)]
        except servers.NotInstalled as error:
            print(f"{mode:<9} not measured: {error}")
            continue
        ratios, memory = sorted(seconds / limit for seconds, _ in runs), max(memory for _, memory in runs)
        ratio = statistics.median(ratios)
        misses += ratio > TARGETS[mode] or memory > MEMORY_MIB
        print(
            f"{mode:<9} ratio {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, target {TARGETS[mode]:.2f})"
            f"  worker's peak memory {memory:.0f} MiB (target {MEMORY_MIB})"
        )
    return 1 if misses else 0


def measure(mode: str, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds from the request to the last link, and the worker's peak memory in MiB."""
    with ExitStack() as stack:
        environment = stack.enter_context(environment_of(mode))
        url = stack.enter_context(sandbox(environment, options.seconds))
        fill(environment, url, options)
        worker = stack.enter_context(process(environment, *celery("worker")))
        stack.enter_context(process(environment, *celery("beat", "--pidfile=")))
        time.sleep(4)  # the worker is up: its start is not what is measured
        seconds = float(script(environment, ASK_AND_WAIT, str(options.count)))
        return seconds, peak_memory_mib(worker.pid)


@contextmanager
def environment_of(mode: str) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        environment = {
            key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "CELERY_BROKER_URL"}
        }
        environment |= {"VAR_DIR": folder, "LOG_LEVEL": "WARNING", "DJANGO_SETTINGS_MODULE": "config.settings"}
        if mode == "servers":
            environment["DATABASE_URL"] = stack.enter_context(servers.postgres()).url
            environment["CELERY_BROKER_URL"] = stack.enter_context(servers.redis()).url
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        yield environment


@contextmanager
def process(environment: Mapping[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=dict(environment))
    try:
        yield child
    finally:
        child.terminate()
        child.wait(timeout=60)


def celery(*arguments: str) -> list[str]:
    return ["-m", "celery", "-A", "config", "--quiet", *arguments, "--loglevel", "ERROR"]


@contextmanager
def sandbox(environment: Mapping[str, str], seconds: float) -> Iterator[str]:
    """The sandbox's Scorpion in a process of its own, every call slowed by `seconds`."""
    command = [sys.executable, "manage.py", "sandbox", "--port", "0", "--format", "json", "--folder"]
    command += [str(Path(environment["VAR_DIR"]) / "sandbox")]
    child = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        text = ""
        while not text.rstrip().endswith("}\n}"):
            text += child.stdout.readline().decode()
        url = json.loads(text)["vendors"]["scorpion"]
        fault = json.dumps({"kind": "slow", "seconds": seconds}).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{url}/_sandbox/faults", fault, headers)).close()
        yield str(url)
    finally:
        child.terminate()
        child.wait(timeout=60)


def script(environment: Mapping[str, str], code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env=dict(environment), check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode().strip()


def fill(environment: Mapping[str, str], url: str, options: argparse.Namespace) -> None:
    script(environment, FILL, url, str(options.count), str(options.at_once))


def peak_memory_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


FILL = """
import sys, django
django.setup()
from datetime import UTC, datetime
from proctoring import demo
from proctoring.models import Account, Candidate, Team
url, count, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
team = demo.load(sandbox_urls={"scorpion": url}, now=datetime.now(UTC))
Account.objects.update(calls_at_once=at_once)
Candidate.objects.bulk_create(
    Candidate(team=team, first_name="Bench", last_name=f"Mark {n}", email=f"bench{n}@example.org") for n in range(count)
)
"""

ASK_AND_WAIT = f"""
import gc, sys, time, django
django.setup()
from datetime import UTC, datetime
from django.db import transaction
from proctoring import deliveries, planning
from proctoring.ledger.waking import wake
from proctoring.models import Candidate, Exam
exam = Exam.objects.select_related("account").filter(account__vendor="scorpion").first()
people = Candidate.objects.filter(first_name="Bench")[: int(sys.argv[1])]
now = datetime.now(UTC)
plan = planning.plan_candidates(exam, people, now=now, options={{}})
batch = deliveries.draft(plan, exam=exam, by=None, now=now)
with transaction.atomic():
    wake(exam.account_id)  # as in a console that is up: the broker's client is loaded, `config.wsgi` has done the rest
gc.collect()
gc.freeze()
time.sleep(1)
start = time.monotonic()
deliveries.request(batch, by=None, now=now)
asked = time.monotonic() - start
while (counts := deliveries.progress(batch))["done"] < int(sys.argv[1]) and time.monotonic() < start + {WAIT_SECONDS}:
    time.sleep(0.1)
print(time.monotonic() - start)
print(f"{{counts['done']}} done, asked in {{asked:.2f}} s", file=sys.stderr)
"""

if __name__ == "__main__":
    sys.exit(main())
