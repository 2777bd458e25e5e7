"""Run the supervisor with another program as its worker: `python -m tests.fakes.run_with_worker PROGRAM ...`."""

import os
import sys
from pathlib import Path

import click

from proxy.errors import ForegateError
from proxy.supervisor.run import run
from proxy.supervisor.source import ConfigFile


def main() -> None:
    """Take the worker's command, then --config FILE."""
    *command, option, file = sys.argv[1:]
    assert option == "--config"
    try:
        run(ConfigFile(Path(file), os.environ), tuple(command))
    except ForegateError as exc:
        click.echo(f"foregate: {exc}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
