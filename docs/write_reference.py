"""Write the options of every command as the command itself tells them: ``python -m docs.write_reference``."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

from convfe_core.cli import main

PAGE = Path(__file__).resolve().parent / "reference.md"
COMMANDS = ("maps", "rank", "list", "fetch", "doctor")
BEGINNING = """\
# Every option of every command

This is what `convfe COMMAND --help` prints, written by `python -m docs.write_reference`. More about the options is in
[maps.md](maps.md), [ranking.md](ranking.md), [own_models.md](own_models.md) and [cluster.md](cluster.md).
"""


def help_of(*arguments: str) -> str:
    """What a call with ``--help`` prints, 110 characters wide."""
    told = io.StringIO()
    with patch.dict(os.environ, COLUMNS="112"), redirect_stdout(told), suppress(SystemExit):
        main([*arguments, "--help"])
    return told.getvalue()


def reference() -> str:
    """The page as Markdown."""
    calls = [(), *((command,) for command in COMMANDS)]
    parts = [f"## {' '.join(['convfe', *call])}\n\n```\n{help_of(*call)}```\n" for call in calls]
    return "\n".join([BEGINNING, *parts])


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
