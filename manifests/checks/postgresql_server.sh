#!/usr/bin/env bash
# A cluster is made and started on a socket, takes transactions and a dump, and ends; nothing listens on a port.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "postgresql_server", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

bin=$(echo /usr/lib/postgresql/*/bin) # Debian's own place
[ -x "$bin/initdb" ] || bin=/usr/bin
[ -x "$bin/initdb" ] || fail "no single PostgreSQL in /usr/lib/postgresql, and none in /usr/bin"
folder=$PWD
"$bin/initdb" --pgdata=data --auth=peer --encoding=UTF8 --locale=C.UTF-8 --no-sync >initdb.log
trap '"$bin/pg_ctl" --pgdata="$folder/data" --mode=immediate stop >/dev/null 2>&1 || true' EXIT
"$bin/pg_ctl" --pgdata=data --wait --timeout=60 --log=server.log \
    --options="-c listen_addresses= -c unix_socket_directories='$folder'" start >/dev/null \
    || fail "it does not start: $(tail -n 1 server.log)"
sql() { psql --host="$folder" --dbname="$1" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "${@:2}"; }
sql postgres --command="create database work"
sql work <<'END'
create table book (id serial primary key, title text unique, tags jsonb);
insert into book (title, tags) values ('Solaris', '["sea"]'), ('Łódź', '["town", "sea"]');
END
[ "$(sql work --command="select count(*), max(title collate \"C\") from book where tags ? 'sea'")" = "2|Łódź" ] \
    || fail "the query found something else"
if sql work --command="begin; delete from book; insert into book (title) values ('a'), ('a'); commit" 2>errors.txt; then
    fail "a title that stands twice was taken"
fi
[ "$(sql work --command="select count(*) from book")" = 2 ] || fail "the transaction left something behind"
pg_dump --host="$folder" --format=custom --file=work.dump work
sql postgres --command="create database again"
pg_restore --host="$folder" --dbname=again work.dump
[ "$(sql again --command="select string_agg(title, ',' order by id) from book")" = "Solaris,Łódź" ] \
    || fail "the dump reads otherwise"
"$bin/pg_ctl" --pgdata=data --mode=fast --wait stop >/dev/null
printf '{"check": "postgresql_server", "ok": true}\n'
