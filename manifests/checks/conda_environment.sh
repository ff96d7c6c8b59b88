#!/usr/bin/env bash
# conda knows its own environment, makes one for the user, and `conda activate` works in a login shell.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "conda_environment", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

prefix=$(conda info --base)
[ -n "$prefix" ] || fail "conda names no base environment"
"$prefix/bin/python" -c 'import bz2, ctypes, lzma, sqlite3, ssl, zlib; ssl.create_default_context()'
conda list --json | "$prefix/bin/python" -c '
import json, sys
names = {one["name"] for one in json.load(sys.stdin)}
sys.exit(not {"conda", "python"} <= names)' || fail "conda does not list itself"
conda create --offline --yes --quiet --prefix "$PWD/own" >/dev/null
[ -f own/conda-meta/history ] || fail "conda made no environment"
found=$(env -i HOME="$HOME" bash -lc "conda activate base && command -v python && conda activate '$PWD/own' && echo \$CONDA_PREFIX")
[ "$found" = "$(printf '%s\n%s' "$prefix/bin/python" "$PWD/own")" ] || fail "activated: $found"
printf '{"check": "conda_environment", "ok": true}\n'
