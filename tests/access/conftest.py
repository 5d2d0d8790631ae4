"""The site, built once for all tests of a module."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.access.site import built
from tests.access.walk import Walk


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database for the whole module: the site is built once."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def walk(db: None) -> Iterator[Walk]:
    logging.disable(logging.CRITICAL)  # a refusal is what is asked for
    with built() as site:
        yield Walk(site)
    logging.disable(logging.NOTSET)
