#!/bin/sh
# Run a command in a copy of the repository whose hot modules are compiled: scripts/compiled.sh COMMAND [ARGUMENTS]
#
# For example `scripts/compiled.sh python -m pytest`.  The copy is build/compiled; the modules are compiled anew when one of
# them has changed (two minutes).  Wanted: a C compiler, Python's headers (Debian: gcc, python3-dev) and the environment
# that ./test makes.
set -eu
cd "$(dirname "$0")/.."

root=$PWD
venv=$(cd "${FOREGATE_VENV:-.venv}" && pwd)
copy=$root/build/compiled
tools=$root/build/tools

changed() {
    stamp=$1
    shift
    wanted=$(cat "$@" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]
}

mkdir -p "$copy"
if changed "$tools/.stamp" requirements-compile.lock; then
    "$venv/bin/python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r requirements-compile.lock </dev/null
    printf '%s\n' "$wanted" >"$tools/.stamp"
fi
# shellcheck disable=SC2046  # names without spaces
if changed "$copy/.stamp" $(git ls-files -- 'proxy/*.py') pyproject.toml scripts/compiled.py requirements-compile.lock; then
    rm -rf "$copy" build/wheels
    HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 "$tools/bin/python" -m pip wheel --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --wheel-dir build/wheels . </dev/null
    "$tools/bin/python" -m zipfile -e build/wheels/*.whl build/wheels
    mkdir -p "$copy"
    (cd build/wheels && find . -name '*.so' -print0 | xargs -0 tar -cf -) | tar -xf - -C "$copy"
    rm -rf build/wheels
    printf '%s\n' "$wanted" >"$copy/.stamp"
fi
# What is tested and measured may have changed without any need to compile again.
find "$copy" -type f ! -name '*.so' ! -name .stamp -delete
git ls-files -z --cached --others --exclude-standard | xargs -0 tar --ignore-failed-read -cf - | tar -xf - -C "$copy"

cd "$copy"
# Ahead of what is installed in the environment, also in the processes that tests start.
PATH=$venv/bin:$PATH:/usr/sbin PYTHONPATH=$copy:$copy/acme exec "$@"
