#!/usr/bin/env bash
# sudo runs a command as root and as somebody else, without a password.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "sudo_switch", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

command -v sudo >/dev/null || fail "sudo is not installed"
if grep -q '^NoNewPrivs:[[:space:]]*1' /proc/self/status; then
    printf '{"check": "sudo_switch", "reason": "the container forbids new privileges"}\n'
    exit 77
fi
[ "$(sudo -n -u nobody id -un)" = nobody ] || fail "it does not become nobody"
[ "$(sudo -n id -u)" = 0 ] || fail "it does not become root"
sudo -n visudo --check --quiet || fail "visudo finds a fault in the configuration"
[ "$(id -u)" != 0 ] || fail "this proves nothing for root"
printf '{"check": "sudo_switch", "ok": true}\n'
