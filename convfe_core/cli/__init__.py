"""The command line."""

from convfe_core.cli.commands import main

__all__ = ["main"]
