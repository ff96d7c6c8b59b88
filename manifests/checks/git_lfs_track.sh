#!/usr/bin/env bash
# git-lfs is set up for every user: a tracked file is a pointer in git and itself in a clone.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "git_lfs_track", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=ds GIT_AUTHOR_EMAIL=ds@localhost
export GIT_COMMITTER_NAME=ds GIT_COMMITTER_EMAIL=ds@localhost
git init --quiet --bare --initial-branch=main origin.git
git clone --quiet "file://$PWD/origin.git" work 2>/dev/null
cd work
git switch --quiet --create=main 2>/dev/null || true
git lfs track '*.bin' >/dev/null
head -c 100000 /dev/zero > large.bin
git add .gitattributes large.bin
git commit --quiet --message=large
git cat-file -p HEAD:large.bin | grep '^oid sha256:' >/dev/null || fail "git holds the file itself, not a pointer"
git lfs push --all origin >/dev/null 2>&1
git push --quiet origin main >/dev/null 2>&1
cd ..
git clone --quiet "file://$PWD/origin.git" clone 2>/dev/null
cmp -s work/large.bin clone/large.bin || fail "the clone holds another file"
printf '{"check": "git_lfs_track", "ok": true}\n'
