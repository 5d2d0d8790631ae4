"""On the heels: a call that was claimed while its account was full begins the moment another of this process has its answer.

Settling and claiming then happen beside the calls, not between them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from uuid import UUID

AHEAD = 8  # at most so many calls of one process stand ready behind others
PATIENCE_SECONDS = 1.0  # what stands ready for longer is given back
QUICK_SECONDS = 0.5  # at a vendor that takes longer there is little to be won
ENOUGH = 3  # while so many stand ready, nobody waits for the database
SLACK_SECONDS = 0.015


class _Leader:
    def __init__(self) -> None:
        self.began = time.monotonic()
        self.is_over = threading.Event()
        self.is_well = False


class Heels:
    """Which calls of this process are at one account's vendor, and which of them another stands ready behind.

    A follower begins once its leader's answer is there, and counts as under way once its leader has ended: so there are
    never more calls at the vendor than are counted. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_vendor: dict[UUID, _Leader] = {}
        self._followed: dict[UUID, _Leader] = {}
        self._is_quick = True
        self._call_seconds = 0.0  # what the last one took

    def begin(self, call: UUID) -> None:
        with self._lock:
            self._at_vendor[call] = _Leader()

    def end(self, call: UUID, *, is_well: bool) -> None:
        """Its answer is there. Who stands behind it begins now if all is well, and is given back if not."""
        with self._lock:
            leader = self._at_vendor.pop(call)
            leader.is_well = is_well
            self._call_seconds = time.monotonic() - leader.began
            self._is_quick = is_well and self._call_seconds < QUICK_SECONDS
        leader.is_over.set()

    def reserve(self, most: int) -> list[UUID]:
        """Calls to claim others behind, those that began first first; none while the vendor is slow or unwell."""
        with self._lock:
            if not self._is_quick:
                return []
            free = [call for call in self._at_vendor if call not in self._followed]
            reserved = free[: max(0, min(most, AHEAD - len(self._followed)))]
            self._followed.update({call: self._at_vendor[call] for call in reserved})
            return reserved

    def release(self, calls: Iterable[UUID]) -> None:
        """Nothing was claimed behind these."""
        with self._lock:
            for call in calls:
                del self._followed[call]

    def wait(self, call: UUID) -> bool:
        """Whether who was claimed behind this call may begin. False: it is to be given back."""
        leader = self._followed[call]
        is_over = leader.is_over.wait(PATIENCE_SECONDS)
        with self._lock:
            del self._followed[call]
            self._is_quick = self._is_quick and is_over
        return is_over and leader.is_well

    def slack_seconds(self) -> float:
        """How long the database may be left alone, for more to come and share a turn: a part of what a call takes."""
        with self._lock:
            return min(SLACK_SECONDS, self._call_seconds / 8) if len(self._followed) >= ENOUGH else 0.0
