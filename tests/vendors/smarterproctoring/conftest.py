from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vendors.smarterproctoring.recording import Smarter


@pytest.fixture
def smarter() -> Iterator[Smarter]:
    server = Smarter()
    yield server
    server.server.shutdown()
    server.server.server_close()
