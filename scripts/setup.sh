# shellcheck shell=sh
# Sourced by ./try and ./test: set up what they need on a fresh Debian 12 or 13 (root or sudo once), or say what is missing.
#
#   want_system NAME:PKG...   CPython 3.11 or newer for the virtual environment, and Debian's PKG for each command NAME
#                             that is not there; what is missing is installed in one go, or named in one message
#   want_venv LOCK            sets $venv: the locked packages with verified hashes, and Foregate itself, editable
#
# $FOREGATE_VENV names another place than .venv; $PYTHON another interpreter than the first that fits.

venv=${FOREGATE_VENV:-.venv}

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# Undo what keeps freshly installed servers from starting.
allow_services() {
    [ -z "$policy" ] || $as_root rm -f "$policy"
    policy=
    trap - EXIT INT TERM
}

# Install Debian packages, or end with the command that would.
install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        fail "These are missing: $*. (They are the names of Debian's packages; this system has no apt-get.)"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; }; then
        as_root=sudo
    else
        fail "These Debian packages are missing, and installing them needs root. As root, run:" \
            "apt-get update && apt-get install -y --no-install-recommends $*"
    fi
    say "Installing Debian packages: $*"
    # Servers among them are only started by the tests themselves, never as a service of this machine.
    policy=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        trap allow_services EXIT
        trap 'exit 1' INT TERM
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
    fi
    $as_root apt-get update -q </dev/null >&2 || say "apt-get update failed; going on with the package lists there are."
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" </dev/null >&2 ||
        fail "apt-get could not install: $*"
    allow_services
    if [ -d /run/systemd/system ]; then
        for package in "$@"; do
            $as_root systemctl disable --quiet "$package" 2>/dev/null || true
        done
    fi
}

usable_python() {
    "$1" -c 'import sys; sys.exit(sys.implementation.name != "cpython" or sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for python in ${PYTHON:-} python3 python3.13 python3.14 python3.12 python3.11; do
        if usable_python "$python"; then
            return 0
        fi
    done
    return 1
}

has_venv() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

can_make_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

want_system() {
    missing=
    if ! has_venv; then
        if [ -n "${PYTHON:-}" ] && ! usable_python "$PYTHON"; then
            fail "PYTHON=$PYTHON is not CPython 3.11 or newer."
        fi
        if ! find_python; then
            missing="python3 python3-venv"
        elif ! can_make_venv; then
            missing=python3-venv
        fi
    fi
    for pair in "$@"; do
        # Servers live in sbin, which a plain user's PATH lacks.
        PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
    done
    # shellcheck disable=SC2086  # a list of words
    [ -z "$missing" ] || install_packages $missing
    has_venv && return
    find_python || fail "Foregate needs CPython 3.11 or newer; Debian 12 and 13 have it as python3." \
        "Set PYTHON to name one that is installed elsewhere."
    can_make_venv || fail "$python cannot make virtual environments (its module ensurepip or venv is missing)." \
        "Set PYTHON to name one that can, for example /usr/bin/python3."
}

want_venv() {
    lock=$1
    if ! has_venv; then
        say "Creating $venv with $("$python" --version)"
        "$python" -m venv --clear "$venv"
    fi
    stamp=$venv/.installed-$lock
    wanted=$(cat "$lock" requirements-build.lock pyproject.toml | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    say "Installing $lock into $venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r requirements-build.lock -r "$lock" </dev/null ||
        fail "pip could not install $lock; its last lines say why. Behind a mirror or proxy, configure pip as usual."
    # The build tool is in the environment by now, verified: nothing else is fetched.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . </dev/null
    printf '%s\n' "$wanted" >"$stamp"
}
