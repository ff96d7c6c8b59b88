#!/usr/bin/env bash
# Fonts are found by name, and there is one for Latin, Greek, Cyrillic, Chinese, Japanese and Korean.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "fonts_match", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

command -v fc-match >/dev/null || fail "fontconfig is not installed"
file=$(fc-match -f '%{file}' 'DejaVu Sans')
[ "${file##*/}" = DejaVuSans.ttf ] || fail "DejaVu Sans is $file"
for letters in 0041:A 00DF:ß 03A9:Ω 0416:Ж 4E2D:中 3042:あ D55C:한; do
    fc-list ":charset=${letters%%:*}" file | grep . >/dev/null || fail "no font has the letter ${letters##*:}"
done
for language in zh-cn ja; do
    fc-list ":lang=$language" file | grep . >/dev/null || fail "no font covers $language"
done
printf '{"check": "fonts_match", "ok": true}\n'
