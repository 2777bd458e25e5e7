"""The entry point for `python -m proxy`; the command itself is `foregate`."""

from proxy.cli import main

if __name__ == "__main__":
    main()
