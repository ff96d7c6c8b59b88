#!/usr/bin/env bash
# git commits, branches and merges, and a clone holds the same history.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "git_clone", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=ds GIT_AUTHOR_EMAIL=ds@localhost
export GIT_COMMITTER_NAME=ds GIT_COMMITTER_EMAIL=ds@localhost
git init --quiet --initial-branch=main origin
echo one > origin/file
git -C origin add file
git -C origin commit --quiet --message=one
git -C origin switch --quiet --create=other
echo two >> origin/file
git -C origin commit --quiet --all --message=two
git -C origin switch --quiet main
git -C origin merge --quiet --no-ff --message=merge other
git clone --quiet "file://$PWD/origin" clone
git -C clone fsck --no-progress >/dev/null
[ "$(git -C clone rev-parse HEAD)" = "$(git -C origin rev-parse HEAD)" ] || fail "the clone has another history"
[ "$(cat clone/file)" = "$(printf 'one\ntwo')" ] || fail "the clone holds another file"
printf '{"check": "git_clone", "ok": true}\n'
