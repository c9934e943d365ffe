"""What nobody foresaw: the visitor gets a reference number, the log gets the number and the traceback.

What visitors handed in is named in neither: the names of their files are struck out.
"""

from __future__ import annotations

import logging
import secrets
import sys
import traceback
from collections.abc import Iterable, Mapping

LOGGER = logging.getLogger("convfe")

SETTING = "CONVFE_LOG_LEVEL"
"""Environment variable: DEBUG, INFO, WARNING (the default), ERROR or CRITICAL."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
STRUCK_OUT = "(a visitor's file)"


def configure_log(environ: Mapping[str, str]) -> None:
    """Send what this program logs to standard error, unless somebody set up logging already; safe to repeat."""
    level = environ.get(SETTING, "").strip().upper()
    LOGGER.setLevel(level if level in LEVELS else "WARNING")
    if not LOGGER.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        LOGGER.addHandler(handler)
    if level and level not in LEVELS:
        LOGGER.warning("%s: expected one of %s. Received: %r; taking WARNING.", SETTING, ", ".join(LEVELS), level)


def record_fault(error: Exception, hidden: Iterable[str] = ()) -> str:
    """Log an unexpected exception with its traceback.

    Parameters
    ----------
    hidden : names that must not stand in the log

    Returns
    -------
    str
        The reference number that stands in the log, for the visitor to pass on.
    """
    reference = secrets.token_hex(4).upper()
    text = "".join(traceback.format_exception(error)).rstrip()
    for name in sorted(hidden, key=len, reverse=True):
        for written in {name, repr(name)[1:-1]}:
            text = text.replace(written, STRUCK_OUT) if written else text
    LOGGER.error("fault %s\n%s", reference, text)
    return reference
