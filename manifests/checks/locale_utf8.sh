#!/usr/bin/env bash
# The image speaks UTF-8: its own locale, and en_US.UTF-8 for those who ask for it.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "locale_utf8", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

LC_ALL='' locale charmap 2>/dev/null | grep -x UTF-8 >/dev/null || fail "the locale of the image is not UTF-8: LANG=${LANG:-}"
[ "$(LC_ALL=en_US.UTF-8 locale charmap 2>/dev/null)" = UTF-8 ] || fail "there is no en_US.UTF-8"
[ "$(printf 'Łódź' | LC_ALL=en_US.UTF-8 wc -m)" = 4 ] || fail "en_US.UTF-8 counts bytes, not characters"
sorted=$(printf 'b\nA\na\nB\n' | LC_ALL=en_US.UTF-8 sort | tr -d '\n')
[ "$sorted" = aAbB ] || fail "en_US.UTF-8 sorts $sorted"
LC_ALL=en_US.UTF-8 /usr/bin/python3 -c 'import locale; locale.setlocale(locale.LC_ALL, ""); 1 / (locale.format_string("%d", 1234567, grouping=True) == "1,234,567")' ||
    fail "en_US.UTF-8 groups no digits"
printf '{"check": "locale_utf8", "ok": true}\n'
