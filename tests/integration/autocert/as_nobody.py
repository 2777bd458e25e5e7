"""Look into a storage folder as an unprivileged user; run by `test_disk`.

Usage: as_nobody.py FOLDER NAME. Prints one line of JSON: whether the certificate was found, and the problem's kind.
"""

import json
import os
import sys
import time
from pathlib import Path

from autocert.certificate import checked
from autocert.errors import StorageError
from autocert.explain import explain
from autocert.settings import Authority
from autocert.storage import Storage
from tests.fakes.root_ca import TestCa

NOBODY = 65534


def main() -> None:
    """Become nobody, then look."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    if os.geteuid() == 0:
        # What is imported on demand is imported now: below /root nobody can read it.
        key, chain = TestCa().issue([name])
        checked(key, chain, names=(name,), origin="x", profile="", stored_at=time.time())
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    kind, is_found = "", False
    try:
        storage = Storage(folder)
        storage.prepare(time.time())
        is_found = storage.load(name, time.time()).value is not None
    except StorageError as error:
        kind = explain(error, name, Authority(), str(folder), 0.0).kind.value
    print(json.dumps([is_found, kind]))


if __name__ == "__main__":
    main()
