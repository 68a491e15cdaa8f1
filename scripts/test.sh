#!/bin/sh
# usage: scripts/test.sh [PYTEST OPTION]…
# Runs the suite on the default Python with each wire twin, and on the other end of the supported range
# (3.11, or the newest) where such a Python is found.
set -eu
cd "$(dirname "$0")/.."
default=${PYTHON:-python3}
# Tests wait for servers more than they compute, so there are two workers more than there are cores.
workers=$(($("$default" -c 'import os; print(os.cpu_count() or 1)') + 2))

run() { # VENV PYTHON PURE
    venv=$1 python=$2 pure=$3
    shift 3
    if [ ! -e "$venv/.ready-test" ] || [ pyproject.toml -nt "$venv/.ready-test" ] ||
        [ -n "$(find src/tidings/nats/wire -name '_*.p[yx][xi]' -newer "$venv/.ready-test")" ]; then
        scripts/setup-venv.sh "$venv" "$python" test
        touch "$venv/.ready-test"
    fi
    TIDINGS_PURE=$pure "$venv/bin/python" -m pytest -n "$workers" --dist loadfile --max-worker-restart 2 "$@"
}

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

run .venv "$default" "" "$@"
# The twin that did not run above; where nothing was compiled, that was the pure one already.
if [ "$(.venv/bin/python -c 'from tidings.nats.wire import IMPLEMENTATION as i; print(i)')" = c ]; then
    run .venv "$default" 1 tests/nats "$@"
fi

ran=$(version "$default")
for other in "$("$default" scripts/pythons.py --min 3.11 --max 3.11 --newest)" \
    "$("$default" scripts/pythons.py --min 3.13 --newest)"; do
    if [ -n "$other" ] && [ "$(version "$other")" != "$ran" ]; then
        # What type checkers say and what the docs show does not depend on who runs it: once is enough.
        run ".venv-$(version "$other")" "$other" "" --ignore tests/typing --ignore tests/docs "$@"
    fi
done
