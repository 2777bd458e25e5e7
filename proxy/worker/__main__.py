"""The entry point of a worker, which `foregate run` starts as `python -m proxy.worker DESCRIPTOR`."""

import sys

from proxy.worker.plane import data_plane
from proxy.worker.process import serve


def main() -> None:
    """Be a worker of the supervisor that started this process."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("proxy.worker is started by `foregate run`, not by hand")
    sys.exit(serve(int(sys.argv[1]), data_plane))


if __name__ == "__main__":
    main()
