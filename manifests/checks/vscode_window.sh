#!/usr/bin/env bash
# Visual Studio Code installs an extension and opens a file in a window, on a screen in memory.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "vscode_window", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

folders=(--user-data-dir="$PWD/data" --extensions-dir="$PWD/extensions")
export DONT_PROMPT_WSL_INSTALL=1
/usr/bin/python3 - <<'END'
import json, zipfile

about = {"name": "nothing", "publisher": "check", "version": "1.2.3", "engines": {"vscode": "^1.60.0"}}
with zipfile.ZipFile("nothing.vsix", "w") as archive:
    archive.writestr("extension/package.json", json.dumps(about))
END
code "${folders[@]}" --install-extension nothing.vsix >install.log 2>&1 || fail "$(tail -n 1 install.log)"
extensions=$(code "${folders[@]}" --list-extensions --show-versions | grep @)
[ "$extensions" = check.nothing@1.2.3 ] || fail "extensions $extensions"
echo hello > probe.txt
cat > look.sh <<'END'
code "$@" --wait --disable-telemetry --disable-workspace-trust --disable-gpu probe.txt >code.log 2>&1 &
for _ in $(seq 240); do
    if xwininfo -root -tree | grep 'probe.txt.*Visual Studio Code' >/dev/null; then echo window; exit 0; fi
    sleep 0.5
done
exit 1
END
export XDG_RUNTIME_DIR=$PWD/runtime
mkdir -m 700 "$XDG_RUNTIME_DIR"
xvfb-run --auto-servernum dbus-run-session -- bash look.sh "${folders[@]}" >look.log 2>&1 \
    || fail "no window: $(tail -n 1 code.log)"
printf '{"check": "vscode_window", "ok": true, "extensions": "%s"}\n' "$extensions"
