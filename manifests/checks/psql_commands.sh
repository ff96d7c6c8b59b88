#!/usr/bin/env bash
# psql follows a script's conditions and variables and says of a server that is not there that it is not.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "psql_commands", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

printed=$(psql --no-psqlrc --version | cut -d ' ' -f 3)
[[ $printed =~ ^[0-9]+\.[0-9]+ ]] || fail "it says that its version is $printed"
if psql --no-psqlrc --host="$PWD" --command='select 1' >out.txt 2>&1; then
    fail "it found a server in an empty folder"
fi
grep -q "No such file or directory" out.txt || fail "it said $(head -n 1 out.txt)"
# an archive of pg_dump, by a program that reads it without a server
if pg_restore --list /dev/null >out.txt 2>&1; then
    fail "pg_restore took an empty archive"
fi
grep -q "input file is too short" out.txt || fail "pg_restore said $(head -n 1 out.txt)"
printf '{"check": "psql_commands", "ok": true}\n'
