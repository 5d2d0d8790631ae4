"""Mail needs nothing but its limits: where it goes is a setting of the console (EMAIL_URL or an anymail provider)."""

from __future__ import annotations

from proctoring.vendors.formfields import VendorForm


class CredentialsForm(VendorForm):
    """None: the console's own settings hold them."""


class AccountForm(VendorForm):
    """None."""


class ExamForm(VendorForm):
    """None: there are no exams at a mail server."""


class DeliveryForm(VendorForm):
    """None."""


class FoundForm(VendorForm):
    """None: that a mail has gone says all."""
