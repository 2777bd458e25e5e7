"""Fuzz everything that reads what strangers send, guided by coverage (atheris, which is libFuzzer for Python).

`python -m tests.campaigns.fuzz [SECONDS]` runs each target of `tests/fakes/fuzz_targets.py` for so long, from the seeds
below; `python -m tests.campaigns.fuzz TARGET FOLDER [libFuzzer's options]` one of them, with a corpus that stays. Needs
`pip install atheris`, which has wheels for CPython 3.11 and later on Linux. Passes when no target raises anything. What
ever did is kept in `tests/wire/fuzz/`, which the suite runs with all seeds (`tests/wire/test_fuzz.py`).
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.fakes.fuzz_seeds import DICTIONARIES, seeds

_DONE: Final = re.compile(r"Done ([0-9]+) runs in ([0-9]+) second")
_COVERAGE: Final = re.compile(r"cov: ([0-9]+)")
_KEPT: Final = Path(__file__).parents[1] / "wire" / "fuzz"
TARGETS: Final = ("request", "response", "chunks", "hello", "proxy_header", "client", "config", "values")


def fuzz(name: str, arguments: list[str]) -> None:
    """Run one target in this process, which libFuzzer ends."""
    # Not among what the suite needs, so it may be missing where types are checked; it has none of its own.
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # has no types, and need not be installed

    with atheris.instrument_imports(include=["proxy"]):
        from tests.fakes.fuzz_targets import TARGETS as FUNCTIONS

    atheris.Setup([sys.argv[0], *arguments], FUNCTIONS[name])
    atheris.Fuzz()


def _dictionary(name: str, folder: Path) -> Path:
    path = folder / "dictionary"
    lines = ('"' + "".join(f"\\x{octet:02x}" for octet in word) + '"' for word in DICTIONARIES[name])
    path.write_text("\n".join(lines) + "\n")
    return path


def run(name: str, seconds: int, folder: Path) -> str:
    """Fuzz one target for so long in a process of its own; return a line about it, which has "0 crashes" or not."""
    corpus = folder / name
    corpus.mkdir()
    for number, octets in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(octets)
    options = [f"-max_total_time={seconds}", "-max_len=4096", f"-dict={_dictionary(name, folder)}"]
    options += ["-timeout=20", "-rss_limit_mb=1024", f"-artifact_prefix={_KEPT / name}-"]
    command = [sys.executable, "-m", "tests.campaigns.fuzz", name, str(corpus), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    output = done.stdout + done.stderr
    count, took = next(iter(_DONE.findall(output)), ("?", "?"))
    coverage = _COVERAGE.findall(output) or ["?"]
    crashes = "0 crashes" if done.returncode == 0 else f"CRASHED:\n{output[-3000:]}"
    return f"{name}: {count} runs in {took} s, coverage {coverage[0]} to {coverage[-1]}, {crashes}"


def main(seconds: int = 60) -> int:
    """Run all targets and say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for name in TARGETS:
            lines.append(run(name, seconds, Path(folder)))
            print(lines[-1], flush=True)
    return any("0 crashes" not in line for line in lines)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        fuzz(sys.argv[1], sys.argv[2:])
    sys.exit(main(*map(int, sys.argv[1:])))
