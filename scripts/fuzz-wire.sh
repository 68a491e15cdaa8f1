#!/bin/sh
# usage: scripts/fuzz-wire.sh [ARGUMENTS of fuzz_wire.py], such as --seconds 60, which each of three parts takes
# Builds the compiled wire twin with AddressSanitizer and UndefinedBehaviorSanitizer in a folder of its own and
# fuzzes it beside the reference. Where the compiler has no sanitizer, valgrind watches the plain build instead
# (CHECKER=valgrind asks for it). PYTHON names the interpreter; tidings has to be installed for it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
pyx=$PWD/src/tidings/nats/wire/_speedups.pyx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

if ! command -v gcc >/dev/null; then
    echo "fuzz-wire: no gcc; install a C compiler (Debian: gcc libc6-dev)" >&2
    exit 1
fi
if ! "$python" -c 'import Cython' 2>/dev/null; then
    cython=$("$python" -c 'import tomllib; print([r for r in tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"] if r.startswith("Cython")][0])')
    "$python" -m pip install -q --disable-pip-version-check --target "$work/cython" "$cython"
    export PYTHONPATH="$work/cython${PYTHONPATH:+:$PYTHONPATH}"
fi
"$python" -m cython -3 -o "$work/_speedups.c" "$pyx" 2>"$work/cython.log" || { cat "$work/cython.log" >&2; exit 1; }

include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
build() { # FLAGS…
    gcc -shared -fPIC -g -O1 -fno-omit-frame-pointer -w "$@" -I"$include" "$work/_speedups.c" -o "$work/_speedups.so"
}
asan=$(gcc -print-file-name=libasan.so)
if [ "${CHECKER:-asan}" = asan ] && [ -f "$asan" ] &&
    build -fsanitize=address,undefined -fno-sanitize-recover=undefined; then
    echo "fuzz-wire: AddressSanitizer and UndefinedBehaviorSanitizer"
    export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
    run() { env LD_PRELOAD="$asan" "$python" "$@"; }
elif command -v valgrind >/dev/null; then
    build
    echo "fuzz-wire: valgrind"
    run() { valgrind -q --error-exitcode=99 "$python" "$@"; }
else
    echo "fuzz-wire: neither AddressSanitizer (gcc's libasan) nor valgrind; install one of them" >&2
    exit 1
fi
export PYTHONMALLOC=malloc  # so that the checker sees each object's end
# Small buffers, so that their ends are met in every run; then those that are used.
for size in 16 64 0; do
    run scripts/fuzz_wire.py --extension "$work/_speedups.so" --read-size "$size" "$@"
done
