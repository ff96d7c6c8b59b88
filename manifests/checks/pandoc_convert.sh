#!/usr/bin/env bash
# pandoc writes HTML and Word from Markdown, and reads its own Word file back.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "pandoc_convert", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

# shellcheck disable=SC2016
printf '# Title\n\nSome *words* and $x^2$.\n\n| a | b |\n|---|---|\n| 1 | Łódź |\n' > in.md
pandoc --standalone --metadata title=t --mathml in.md -o out.html
grep -q '<em>words</em>' out.html || fail "no emphasis in the HTML"
grep -q '<math' out.html || fail "no formula in the HTML"
pandoc in.md -o out.docx
pandoc out.docx -t markdown > back.md
grep -q '^# Title' back.md || fail "no heading came back from the Word file"
grep -q 'Łódź' back.md || fail "no table came back from the Word file"
printf '{"check": "pandoc_convert", "ok": true}\n'
