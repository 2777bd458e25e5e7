#!/bin/sh
# Write the lock files anew: pinned, hashed, for Linux with CPython 3.11 and newer, on every architecture that has wheels.
# Needs uv (`pip install uv`). Extra arguments go to uv, for example: scripts/lock.sh --upgrade-package h11
set -eu
cd "$(dirname "$0")/.."

# The files name no index and no local path: whoever installs chooses the mirror, and the hashes decide.
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX \
    UV_DEFAULT_INDEX || true

lock() {
    output=$1
    shift
    uv --no-config pip compile --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet \
        --output-file "$output" "$@"
}

lock requirements.lock pyproject.toml "$@"
lock requirements-dev.lock pyproject.toml --extra test --extra lint --constraint requirements.lock "$@"
lock requirements-bench.lock pyproject.toml --extra bench --constraint requirements-dev.lock "$@"
printf 'hatchling>=1.27\n' | lock requirements-build.lock - --constraint requirements-dev.lock "$@"
# What compiles the hot modules, beside what they import: scripts/compiled.py.
printf 'hatchling>=1.27\nmypy>=2.4\nsetuptools>=84\n' |
    lock requirements-compile.lock - pyproject.toml --constraint requirements-dev.lock "$@"
"${PYTHON:-python3}" scripts/sbom.py
