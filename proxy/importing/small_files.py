"""Read files of other programs, which may be anything."""

import os
import stat
from pathlib import Path
from typing import Final

_LARGEST: Final = 1 << 20


def read_small(file: Path) -> bytes:
    """Return what is in a regular file of at most 1 MB; raises OSError, or ValueError for anything else."""
    status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{file} is not a file")
    if status.st_size > _LARGEST:
        raise ValueError(f"{file} is larger than 1 MB")
    with open(file, "rb") as opened:
        return opened.read(_LARGEST + 1)
