"""The command line."""

from regraft.cli.commands import main

__all__ = ["main"]
