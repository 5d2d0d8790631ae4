"""Mail, as one more account: one message a call, handed to whatever the console's settings name.

Follows RFC 5321. A mail server has acted once it has answered the end of the message's data with 250; before that end was
sent it cannot have acted, after it and without an answer nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from proctoring.vendors.base import Adapter, Basis, Capability, Checked, Facts, HttpRequest, Message, Sending, Verb

METHOD = "MAIL"
CHECK = "CHECK"
SENDER = "X-Envelope-From"


class MailAdapter(Adapter):
    """Hands messages to the transport as requests to `mailto:` addresses; replies carry SMTP's meaning as HTTP's would."""

    FACTS: ClassVar[Facts] = Facts(
        key="mail",
        title="Mail",
        page="RFC 5321",
        base_url="mailto:",
        needs_credentials=False,
        capabilities={
            Verb.SEND_MESSAGE: Capability(basis=Basis.DOCUMENTED),
            Verb.CHECK: Capability(basis=Basis.DOCUMENTED),
        },
    )

    def send_message(self, message: Message, sending: Sending) -> None:
        """Raises Unavailable (nothing was taken), Rejected (refused for good), OutcomeUnknown (it may have gone)."""
        request = HttpRequest(
            method=METHOD,
            url=f"mailto:{message.to}",
            headers={SENDER: message.sender, "Content-Type": "message/rfc822"},
            body=message.body.encode(),
        )
        self.transport(request, is_effect=True)

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        """Signs in at the mail server and leaves again."""
        self.transport(HttpRequest(method=CHECK, url="mailto:"), is_effect=False)
        return Checked(message="The mail server lets us in.")


ADAPTER = MailAdapter
