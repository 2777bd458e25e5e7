"""The command line; `main` is what the console script runs."""

from proxy.cli.commands import main

__all__ = ["main"]
