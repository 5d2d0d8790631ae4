"""python -m tests.ledger.golden --record"""

from __future__ import annotations

import argparse

from tests import isolation  # noqa: F401 - before Django's settings are read


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.ledger.golden", description="The golden decisions.")
    parser.add_argument("--record", action="store_true", required=True, help="write decisions.jsonl anew")
    parser.parse_args()

    import logging
    import os

    import django
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    setup_test_environment()
    logging.disable()
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        _record()
    finally:
        teardown_databases(databases, verbosity=0)


def _record() -> None:
    from django.db import transaction

    from tests.ledger.golden.axes import all_cases
    from tests.ledger.golden.decisions import DECISIONS, decide, recorded, written

    before = recorded() if DECISIONS.exists() else {}
    with transaction.atomic():
        decided = decide(all_cases())
        transaction.set_rollback(True)
    DECISIONS.write_text(written(decided), encoding="utf-8")
    changed = sum(before.get(name) != record for name, record in decided.items())
    print(f"{len(decided)} cases, {changed} of them new or changed, {len(before.keys() - decided.keys())} gone.")


if __name__ == "__main__":
    main()
