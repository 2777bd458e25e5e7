"""A worker without traffic: `python -m tests.fakes.idle_worker MODE`, its channel being descriptor 3."""

import asyncio
import signal
import socket
import sys

from proxy.control.messages import Configure
from proxy.supervisor.processes import CONTROL_DESCRIPTOR
from proxy.worker.plane import Surroundings
from proxy.worker.process import serve
from tests.fakes.plane import FakePlane


def plane(_loop: asyncio.AbstractEventLoop, first: Configure, surroundings: Surroundings) -> FakePlane:
    """Build a plane whose drain never ends by itself, unless it is given no time."""
    refuses = sys.argv[1] == "refuse"
    return FakePlane(first.config, first.site_blocks, surroundings, first.firewalls, refuses=refuses)


def main() -> None:
    """Behave as the mode says."""
    match sys.argv[1]:
        case "serve" | "refuse":
            sys.exit(serve(CONTROL_DESCRIPTOR, plane))
        case "mute":
            signal.pause()
        case "babble":
            with socket.socket(fileno=CONTROL_DESCRIPTOR) as channel:
                channel.send(b"I am your supervisor now")
                signal.pause()


if __name__ == "__main__":
    main()
