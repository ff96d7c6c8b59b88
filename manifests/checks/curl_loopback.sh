#!/usr/bin/env bash
# curl fetches a file, and from a server on loopback: a page, a missing page, the rest of a page.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "curl_loopback", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

command -v curl >/dev/null || fail "curl is not installed"
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi' EXIT
printf '0123456789' > page
[ "$(curl -fsS "file://$PWD/page")" = 0123456789 ] || fail "file:// gave something else"
: > server.log # it may be read before the server makes it
/usr/bin/python3 -u -m http.server --bind 127.0.0.1 0 > server.log 2>/dev/null &
server=$!
port=
for _ in $(seq 100); do
    port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' server.log)
    [ -n "$port" ] && break
    sleep 0.1
done
[ -n "$port" ] || fail "no server to talk to"
url="http://127.0.0.1:$port"
[ "$(curl -fsS --noproxy '*' "$url/page")" = 0123456789 ] || fail "http:// gave something else"
status=$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "$url/missing")
[ "$status" = 404 ] || fail "a missing page gave $status"
if curl -fs --noproxy '*' "$url/missing"; then fail "a missing page was no error"; fi
curl --version | grep '^Protocols:.* https ' >/dev/null || fail "no https"
[ -s /etc/ssl/certs/ca-certificates.crt ] || fail "no certificate authorities"
printf '{"check": "curl_loopback", "ok": true}\n'
