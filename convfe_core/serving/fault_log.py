"""Unexpected errors: the visitor gets a reference number, the log the number and the traceback.

What visitors handed in is named in neither: the names of their files are struck out.
"""

from __future__ import annotations

import logging
import secrets
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path

from platformdirs import user_log_path

LOGGER = logging.getLogger("convfe")

SETTING = "CONVFE_LOG_LEVEL"
"""Environment variable: DEBUG, INFO, WARNING (the default), ERROR or CRITICAL."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
STRUCK_OUT = "(a visitor's file)"
KEPT_FAULTS = 20


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
    reference = _new_reference()
    text = "".join(traceback.format_exception(error)).rstrip()
    for name in sorted(hidden, key=len, reverse=True):
        for written in {name, repr(name)[1:-1]}:
            text = text.replace(written, STRUCK_OUT) if written else text
    LOGGER.error("fault %s\n%s", reference, text)
    return reference


def keep_fault(error: Exception) -> tuple[str, Path | None]:
    """Write the traceback of an unexpected exception into a file of the user's, for programs that have no log.

    Returns
    -------
    tuple
        The reference number, and the file that bears it; None where nothing can be written. Only the last
        `KEPT_FAULTS` stay.
    """
    reference = _new_reference()
    try:
        folder = user_log_path("convfe")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"fault-{reference}.txt"
        path.write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
        for old in sorted(folder.glob("fault-*.txt"), key=lambda one: one.stat().st_mtime)[:-KEPT_FAULTS]:
            old.unlink(missing_ok=True)
    except OSError:
        return reference, None
    return reference, path


def _new_reference() -> str:
    return secrets.token_hex(4).upper()
