"""A mail server for tests, at a local port: real SMTP that goes wrong where it is told to, and keeps what it took."""

from __future__ import annotations

import base64
import random
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum

USER, PASSWORD = "console", "a-mail-password"
DRIP_SECONDS = 0.02
RUBBISH = b"HTTP/1.1 400 Bad Request\r\n"


class Step(StrEnum):
    """Where in a conversation. BODY is while the message comes in, END after its last line and before the answer."""

    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    END = "end"
    QUIT = "quit"


class Fault(StrEnum):
    REFUSE = "refuse"  # 5xx
    DEFER = "defer"  # 4xx
    HANG_UP = "hang_up"
    HANG = "hang"  # says nothing more
    DRIP = "drip"  # an answer, byte by byte, without an end
    LATE = "late"
    RUBBISH = "rubbish"  # not SMTP
    OK_TOO_EARLY = "ok_too_early"  # 250 whatever the question was
    ECHO = "echo"  # 5xx, with all that it was told: the sign-in, the address, the links in the message


REFUSALS = {Step.AUTH: b"535 5.7.8 refused\r\n", Step.RCPT: b"550 5.1.1 <%s> unknown here\r\n"}
SILENT = (Fault.HANG_UP, Fault.HANG, Fault.DRIP, Fault.RUBBISH)  # they say nothing of what became of a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One message that the server took, as it came in."""

    sender: str
    to: str
    data: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=policy.default)


@dataclass(slots=True, kw_only=True)
class _Plan:
    kind: Fault
    to: str = ""
    times: int | None = None
    seconds: float = 0.2
    stores: bool = False


class _Over(Exception):
    """The conversation has ended."""


@dataclass
class MailServer:
    """`tls` is "", "connect" or "starttls"; with `asks_for_password` nobody may send without signing in."""

    tls: str = ""
    context: ssl.SSLContext | None = None
    asks_for_password: bool = False
    port: int = 0
    stored: list[Stored] = field(default_factory=list)
    steps: Counter[Step] = field(default_factory=Counter)
    deaths: int = 0
    sign_in: tuple[str, str] = (USER, PASSWORD)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._plans: dict[Step, list[_Plan]] = {}
        self._chaos: tuple[random.Random, float, Sequence[Fault]] | None = None
        self._open: set[socket.socket] = set()
        self._dies_at: list[int] = []
        self._listener: socket.socket | None = None
        self.rise()

    # --- telling it what to do ----------------------------------------------------------------------------------------

    def fault(
        self,
        step: Step,
        kind: Fault,
        *,
        to: str = "",
        times: int | None = None,
        seconds: float = 0.2,
        stores: bool = False,
    ) -> None:
        """Goes wrong at that step: always or `times` times, for all or one address; at END with or without keeping it."""
        with self._lock:
            self._plans.setdefault(step, []).append(
                _Plan(kind=kind, to=to, times=times, seconds=seconds, stores=stores)
            )

    def fault_at_random(self, share: float, kinds: Sequence[Fault], *, seed: int) -> None:
        """Goes wrong at any step with this probability; at END it keeps the message or not, as it happens."""
        self._chaos = random.Random(seed), share, kinds

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._plans.clear()
            self._chaos = None

    def die_at(self, *counts: int) -> None:
        """Dies when it has taken so many messages, before it answers for the last of them."""
        self._dies_at = sorted(counts)

    @property
    def is_up(self) -> bool:
        return self._listener is not None

    def rise(self) -> None:
        """Listens, at the port that it had before if it had one."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def die(self) -> None:
        """Closes everything at once, as a killed process does."""
        with self._lock:
            listener, self._listener = self._listener, None
            lines, self._open = self._open, set()
            self.deaths += 1
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for line in lines:
            _hang_up(line)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def times_stored(self) -> Counter[str]:
        """Message-ID → how many times it was taken."""
        return Counter(str(item.message["Message-ID"]) for item in self.stored)

    @property
    def open_lines(self) -> int:
        return len(self._open)

    # --- the conversations --------------------------------------------------------------------------------------------

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            self.opened(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def opened(self, line: socket.socket) -> None:
        with self._lock:
            self._open.add(line)
            is_dead = self._listener is None
        if is_dead:
            _hang_up(line)

    def _serve(self, line: socket.socket) -> None:
        conversation = _Conversation(self, line)
        with suppress(_Over, OSError, ValueError):
            conversation.run()
        with self._lock:
            self._open -= {line, conversation.line}
        _hang_up(conversation.line)

    def plan_for(self, step: Step, to: str) -> _Plan | None:
        with self._lock:
            self.steps[step] += 1
            for plan in self._plans.get(step, []):
                if plan.to in ("", to) and plan.times != 0:
                    plan.times = plan.times - 1 if plan.times is not None else None
                    return plan
            if self._chaos is not None and self._chaos[0].random() < self._chaos[1]:
                dice, _, kinds = self._chaos
                return _Plan(kind=dice.choice(list(kinds)), seconds=0.02, stores=dice.random() < 0.5)
        return None

    def keep(self, message: Stored) -> None:
        with self._lock:
            self.stored.append(message)
            is_last = bool(self._dies_at) and len(self.stored) >= self._dies_at[0]
            if is_last:
                self._dies_at.pop(0)
        if is_last:
            self.die()


def _hang_up(line: socket.socket) -> None:
    """Closes without a good-bye, whatever is still under way; a file that reads from it would keep it open."""
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)
    with suppress(OSError):
        line.close()


class _Conversation:
    def __init__(self, server: MailServer, line: socket.socket) -> None:
        self.server, self.line = server, line
        self.sender = self.to = ""
        self.heard: list[str] = []
        self.is_secure = self.is_signed_in = self.has_greeted = False

    def run(self) -> None:
        self.line.settimeout(20)
        if self.server.tls == "connect":
            self._secure()
        self.words = self.line.makefile("rb")
        if not self._say(Step.GREETING, b"220 test mail\r\n"):
            return
        while True:
            raw = self._read_line().decode("utf-8", "surrogateescape").strip()
            verb, _, rest = raw.partition(" ")
            getattr(self, f"_on_{verb.lower()}", self._on_anything)(rest)

    def _read_line(self) -> bytes:
        line = self.words.readline()
        if not line.endswith(b"\n"):
            raise _Over
        return line

    def _secure(self) -> None:
        assert self.server.context is not None
        self.line = self.server.context.wrap_socket(self.line, server_side=True)
        self.server.opened(self.line)
        self.is_secure = True

    def _send(self, words: bytes) -> None:
        self.line.sendall(words)

    # --- one answer, or what goes wrong instead -----------------------------------------------------------------------

    def _say(self, step: Step, words: bytes) -> bool:
        """Answers, unless something goes wrong at this step. Whether the right answer was given."""
        plan = self.server.plan_for(step, self.to)
        if plan is None:
            self._send(words)
            return True
        return self._go_wrong(plan, step, words)

    def _go_wrong(self, plan: _Plan, step: Step, words: bytes) -> bool:
        if plan.kind is Fault.LATE:
            time.sleep(plan.seconds)
            self._send(words)
            return True
        if plan.kind is Fault.HANG_UP:
            raise _Over
        if plan.kind is Fault.HANG:
            self._wait_until_left()
        if plan.kind is Fault.DRIP:
            self._drip()
        if plan.kind is Fault.ECHO:
            code = b"535 5.7.8" if step is Step.AUTH else b"554 5.7.1"
            self._send(code + b" not taken: " + " ".join(self.heard).encode()[:900] + b"\r\n")
            return False
        self._send(_wrong_words(plan.kind, step, self.to))
        return False

    def _wait_until_left(self) -> None:
        while self.line.recv(65536):
            pass
        raise _Over

    def _drip(self) -> None:
        while True:
            self._send(b"2")
            time.sleep(DRIP_SECONDS)

    # --- the commands -------------------------------------------------------------------------------------------------

    def _on_ehlo(self, rest: str) -> None:
        extensions = [b"test mail", b"8BITMIME"]
        if self.server.tls == "starttls" and not self.is_secure:
            extensions.append(b"STARTTLS")
        if self.server.asks_for_password:
            extensions.append(b"AUTH PLAIN")
        lines = [b"250-" + words for words in extensions[:-1]] + [b"250 " + extensions[-1]]
        self.has_greeted = self._say(Step.EHLO, b"\r\n".join(lines) + b"\r\n")

    def _on_helo(self, rest: str) -> None:
        self.has_greeted = self._say(Step.EHLO, b"250 test mail\r\n")

    def _on_starttls(self, rest: str) -> None:
        if self._say(Step.STARTTLS, b"220 go ahead\r\n"):
            self._secure()
            self.words = self.line.makefile("rb")
            self.has_greeted = False

    def _on_auth(self, rest: str) -> None:
        told = base64.b64decode(rest.split()[-1]).decode().split("\0")[1:]
        self.heard += [*told, rest]
        if tuple(told) != self.server.sign_in:
            self._send(REFUSALS[Step.AUTH])
        else:
            self.is_signed_in = self._say(Step.AUTH, b"235 welcome\r\n")

    def _on_mail(self, rest: str) -> None:
        if not self.has_greeted:
            self._send(b"503 5.5.1 EHLO first\r\n")
        elif self.server.asks_for_password and not self.is_signed_in:
            self._send(b"530 5.7.0 sign in first\r\n")
        elif self._say(Step.MAIL, b"250 ok\r\n"):
            self.sender = _between_brackets(rest)

    def _on_rcpt(self, rest: str) -> None:
        self.to = _between_brackets(rest)
        if not self._say(Step.RCPT, b"250 ok\r\n"):
            self.to = ""

    def _on_data(self, rest: str) -> None:
        if not (self.sender and self.to):
            self._send(b"503 5.5.1 sender and recipient first\r\n")
        elif self._say(Step.DATA, b"354 go ahead\r\n"):
            self._take(self._read_message())

    def _read_message(self) -> bytes:
        plan = self.server.plan_for(Step.BODY, self.to)
        lines: list[bytes] = []
        while (line := self._read_line()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
            if plan is not None:
                self._break_off(plan)
        return b"".join(lines)

    def _break_off(self, plan: _Plan) -> None:
        """In the middle of a message there is nothing to answer: whatever is said is followed by hanging up."""
        if plan.kind is Fault.LATE:
            time.sleep(plan.seconds)
            plan.seconds = 0
            return
        if plan.kind is Fault.HANG:
            time.sleep(plan.seconds)
        elif plan.kind is not Fault.HANG_UP:
            self._send(_wrong_words(plan.kind, Step.BODY, self.to))
        raise _Over

    def _take(self, data: bytes) -> None:
        plan = self.server.plan_for(Step.END, self.to)
        self.heard = re.findall(r"https?://[^\s\"'<>]+", data.decode("utf-8", "replace"))
        if plan is None or plan.kind is Fault.LATE or (plan.stores and plan.kind in SILENT):
            self.server.keep(Stored(sender=self.sender, to=self.to, data=data))
        self.sender = self.to = ""
        if plan is None:
            self._send(b"250 taken\r\n")
        else:
            self._go_wrong(plan, Step.END, b"250 taken\r\n")

    def _on_quit(self, rest: str) -> None:
        self._say(Step.QUIT, b"221 bye\r\n")
        raise _Over

    def _on_anything(self, rest: str) -> None:
        self._send(b"502 5.5.2 what?\r\n")


def _between_brackets(words: str) -> str:
    return words.partition("<")[2].partition(">")[0]


def _wrong_words(kind: Fault, step: Step, to: str) -> bytes:
    if kind is Fault.REFUSE:
        words = REFUSALS.get(step, b"554 5.7.1 refused\r\n")
        return words % to.encode() if b"%s" in words else words
    if kind is Fault.DEFER:
        return b"421 4.3.2 later\r\n" if step is Step.GREETING else b"451 4.3.0 later\r\n"
    return b"250 fine\r\n" if kind is Fault.OK_TOO_EARLY else RUBBISH


@contextmanager
def running(
    *, tls: str = "", context: ssl.SSLContext | None = None, asks_for_password: bool = False
) -> Iterator[MailServer]:
    server = MailServer(tls=tls, context=context, asks_for_password=asks_for_password)
    try:
        yield server
    finally:
        server.die()
