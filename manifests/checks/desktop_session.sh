#!/usr/bin/env bash
# A session of Xfce starts on a screen in memory: its window manager and panel are there, and a window opens.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "desktop_session", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > look.sh <<'END'
set -u
waits() { for _ in $(seq 120); do if "$@" >/dev/null 2>&1; then return 0; fi; sleep 0.5; done; return 1; }
window() { xwininfo -root -tree | grep "$1" >/dev/null; }
xfce4-session >session.log 2>&1 &
waits sh -c 'xprop -root _NET_SUPPORTING_WM_CHECK | grep "window id" >/dev/null' || { echo "no window manager"; exit 1; }
waits window xfce4-panel || { echo "no panel"; exit 1; }
xfce4-terminal --disable-server --title=Probe --command="sleep 60" >terminal.log 2>&1 &
waits window Probe || { echo "no window"; exit 1; }
echo "window manager, panel, window"
END
export HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/runtime NO_AT_BRIDGE=1
mkdir -m 700 "$HOME" "$XDG_RUNTIME_DIR"
found=$(xvfb-run --auto-servernum dbus-run-session -- bash look.sh 2>run.log) || fail "$found: $(tail -n 1 session.log)"
[ "$found" = "window manager, panel, window" ] || fail "the session said '$found'"
printf '{"check": "desktop_session", "ok": true, "found": "%s"}\n' "$found"
