"""Worlds for the tests of the manager."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.manager_world import World


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """Return a folder in memory where there is one: years pass here, with thousands of renames."""
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as path:
        yield Path(path)


@pytest.fixture
def world(memory_folder: Path) -> World:
    """Return a world with a CA that knows renewal windows."""
    return World(memory_folder)


@pytest.fixture
def watchful(memory_folder: Path) -> World:
    """Return a world in which the storage is looked at every 30 seconds, as it is in earnest."""
    return World(memory_folder, look_around=30.0)
