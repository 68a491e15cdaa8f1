#!/bin/sh
# usage: scripts/bench.sh [OPTION of bench.run]…
# Makes the two environments of the benchmark, runs it and writes bench/results.md.
# With BENCH_SHORT=1 it runs one short round, which is a look and what continuous integration runs;
# that, and a run with options, prints its tables without writing them.
set -eu
cd "$(dirname "$0")/.."
default=${PYTHON:-python3}

python=$("$default" scripts/pythons.py --min 3.13 --newest)
if [ -z "$python" ]; then
    echo "no Python 3.13 or later found: the rows of natsio and nats-core, which need it, are left out"
    python=$("$default" scripts/pythons.py --min 3.11 --newest)
    python=${python:-$default}
fi

# Ours is that of the tests for this version, see scripts/test.sh.
ours=.venv-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# An environment of another interpreter is made anew.
for venv in "$ours" .venv-peers; do
    [ "$(cat "$venv/made-with" 2>/dev/null)" = "$python" ] || rm -rf "$venv"
done
scripts/setup-venv.sh "$ours" "$python" test
touch "$ours/.ready-test"
echo "$python" >"$ours/made-with"
[ -x .venv-peers/bin/pip ] || "$python" -m venv .venv-peers
.venv-peers/bin/pip install -q --disable-pip-version-check -r bench/peers.txt
echo "$python" >.venv-peers/made-with

if ! [ -e /usr/include/nats/nats.h ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq && apt-get install -y -qq libnats-dev; } >/dev/null 2>&1 || true
    fi
    [ -e /usr/include/nats/nats.h ] || echo "no libnats-dev to be had: the rows of the C client are left out"
fi

if [ -n "${BENCH_SHORT:-}" ]; then
    set -- --short "$@"
elif [ $# = 0 ]; then
    set -- --output bench/results.md
fi
exec "$ours/bin/python" -m bench.run --ours "$ours/bin/python" --peers .venv-peers/bin/python "$@"
