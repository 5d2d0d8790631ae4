"""What the logs leave out."""

from __future__ import annotations

import logging

from proctoring import keys
from proctoring.vendors.masking import MaskingFilter


def masking_filter() -> MaskingFilter:
    """Masks credentials, candidates' links and the secrets of these settings. Made once Django has its settings."""
    return MaskingFilter(keys.of_settings())


def mask_web_server() -> None:
    """What gunicorn writes of a request, its access log included: its loggers have handlers of their own."""
    for name in ("gunicorn.access", "gunicorn.error"):
        logging.getLogger(name).addFilter(masking_filter())
