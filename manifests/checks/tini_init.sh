#!/usr/bin/env bash
# tini passes on exit codes and signals, and reaps orphans.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "tini_init", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

status=0
tini -s -- sh -c 'exit 7' || status=$?
[ "$status" = 7 ] || fail "exit code $status instead of 7"
# shellcheck disable=SC2016
tini -s -- sh -c 'trap "echo stopped > signal; exit 0" TERM; echo ready > ready; while :; do sleep 0.1; done' &
init=$!
for _ in $(seq 100); do
    [ -e ready ] && break
    sleep 0.1
done
kill -TERM "$init"
wait "$init" || fail "it did not end well after SIGTERM"
[ "$(cat signal 2>/dev/null)" = stopped ] || fail "SIGTERM did not arrive"
# An orphan of the shell becomes a child of tini: a second later it must not be there as a zombie.
# shellcheck disable=SC2016
left=$(tini -s -- sh -c '(sleep 0.2 & echo $! > orphan); sleep 1.5; cat "/proc/$(cat orphan)/stat" 2>/dev/null || true')
[ -z "$left" ] || fail "an orphan was not reaped: $left"
printf '{"check": "tini_init", "ok": true}\n'
