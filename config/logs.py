"""What the logs leave out."""

from __future__ import annotations

from proctoring import keys
from proctoring.vendors.masking import MaskingFilter


def masking_filter() -> MaskingFilter:
    """Masks credentials, candidates' links and the secrets of these settings. Made once Django has its settings."""
    return MaskingFilter(keys.of_settings())
