#!/usr/bin/env bash
# sqlite3 counts with a window, keeps JSON, and a transaction that breaks a rule leaves nothing behind.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "sqlite_transactions", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

sqlite3 check.db <<'END'
create table book (id integer primary key, author text not null, year integer check (year > 1400), about text);
insert into book (author, year, about) values
    ('Lem', 1961, '{"title": "Solaris"}'), ('Lem', 1959, '{"title": "Eden"}'), ('Dick', 1969, '{"title": "Ubik"}');
END
printed=$(sqlite3 check.db "select author, about ->> 'title', rank() over (partition by author order by year) from book order by id")
[ "$printed" = $'Lem|Solaris|2\nLem|Eden|1\nDick|Ubik|1' ] || fail "it printed ${printed//$'\n'/ }"
if sqlite3 -bail check.db "begin; insert into book (author, year) values ('x', 2000); insert into book (author, year) values ('x', 1); commit" 2>errors.txt; then
    fail "a row that breaks a rule was taken"
fi
grep -q "CHECK constraint" errors.txt || fail "it said $(head -n 1 errors.txt)"
[ "$(sqlite3 check.db 'select count(*) from book')" = 3 ] || fail "the transaction left rows behind"
sqlite3 check.db .dump | sqlite3 again.db
[ "$(sqlite3 again.db 'pragma integrity_check; select count(*) from book')" = $'ok\n3' ] || fail "the dump reads otherwise"
printf '{"check": "sqlite_transactions", "ok": true}\n'
