#!/bin/sh
# Make the virtual environment: pinned, hashed, whole or not at all.
# Usage: PYTHON=python3 .ci/setup.sh .venv
set -eu
venv=$1
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }

command -v "$python" >/dev/null 2>&1 || {
    say "$python is not there. Install Python 3.11 or newer, or name one: make PYTHON=python3.12"
    exit 1
}
"$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' || {
    say "$("$python" --version) is too old: 3.11 or newer is needed (make PYTHON=python3.12)"
    exit 1
}
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    say "$python lacks its venv module. On Debian: apt-get install python3-venv"
    exit 1
}

# A folder that was moved or half made is made anew.
if ! "$venv/bin/python" -c 'import sys; raise SystemExit(sys.prefix == sys.base_prefix)' 2>/dev/null
then
    rm -rf "$venv"
    say "making $venv"
    "$python" -m venv "$venv"
fi
say "installing pinned requirements"
# Only the index, proxies and certificates of the machine count; nothing may add other files.
unset PIP_FIND_LINKS PIP_NO_INDEX PIP_CONSTRAINT PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_USER
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --only-binary :all: --requirement requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --no-index --editable .
# Containers often forbid bytecode (PYTHONDONTWRITEBYTECODE), and each start would compile anew.
"$venv/bin/python" -m compileall -q farm
touch "$venv/.ready"
say "done: $venv/bin/farm"
