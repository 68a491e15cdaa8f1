#!/bin/sh
# usage: scripts/setup-venv.sh VENV PYTHON GROUP…
# Makes a virtual environment with tidings (editable) and the dependency groups named.
set -eu
venv=$1 python=$2
shift 2
if [ ! -x "$venv/bin/pip" ]; then
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" 2>"$venv.log"; then
        # Debian ships python3 without ensurepip; the package python3-venv brings it.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "$python has no venv module: installing Debian's python3-venv"
            apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
            rm -rf "$venv" && "$python" -m venv "$venv"
        else
            cat "$venv.log" >&2
            echo "cannot make a virtual environment: install the package python3-venv and run this again" >&2
            exit 1
        fi
    fi
    rm -f "$venv.log"
    "$venv/bin/pip" install -q --disable-pip-version-check "pip==26.3"
fi
for group; do set -- "$@" --group "$group"; shift; done
"$venv/bin/pip" install -q --disable-pip-version-check -e . "$@"
"$venv/bin/python" - <<'PY'
import platform
from tidings.nats.wire import IMPLEMENTATION
note = "" if IMPLEMENTATION == "c" else " (no compiled twin: a C compiler and Python.h were not at hand; everything works, slower)"
print(f"tidings on Python {platform.python_version()}, wire core: {IMPLEMENTATION}{note}")
PY
