#!/usr/bin/env bash
# The compiled parts of code-server work: a terminal, search in files, the file watcher, its log and its database.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "code_server_native", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

root=/opt/code-server
node=$root/lib/node
[ -x "$node" ] || fail "no $node"
mkdir -p searched
echo 'here is the needle' > searched/found.txt
echo 'hay' > searched/other.txt

# Modules are looked up from where code-server itself has them.
cat > native.mjs <<'SCRIPT'
import { createRequire } from 'node:module';
import { execFileSync } from 'node:child_process';
import { writeFileSync, existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const root = process.argv[2];
const server = createRequire(path.join(root, 'lib/vscode/package.json'));
const top = createRequire(path.join(root, 'package.json'));
const load = (name) => import(pathToFileURL(server.resolve(name)));
const assert = (ok, what) => { if (!ok) { throw new Error(what); } };
const limit = (promise, what) => Promise.race([
  promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: no answer in 20 s`)), 20000)),
]);

const terminal = await limit(new Promise((resolve) => {
  let output = '';
  const pty = server('node-pty').spawn('/bin/sh', ['-c', 'tty; stty size; echo $((6 * 7))'], { cols: 99, rows: 33 });
  pty.onData((data) => { output += data; });
  pty.onExit(() => resolve(output));
}), 'terminal');
assert(/\/dev\/pts\/\d+\s+33 99\s+42/.test(terminal), `terminal: ${JSON.stringify(terminal)}`);

const { rgPath } = await load('@vscode/ripgrep-universal');
const found = execFileSync(rgPath, ['--line-number', 'needle', 'searched'], { encoding: 'utf8' }).trim();
assert(found === 'searched/found.txt:1:here is the needle', `search: ${found}`);

const watcher = server('@parcel/watcher');
const seen = await limit(new Promise((resolve, reject) => {
  watcher.subscribe(path.resolve('searched'), (error, events) => error ? reject(error) : resolve(events))
    .then(() => writeFileSync('searched/new.txt', ''), reject);
}), 'watcher');
assert(seen.some((event) => event.path.endsWith('new.txt')), `watcher: ${JSON.stringify(seen)}`);

const spdlog = server('@vscode/spdlog');
const logger = await spdlog.createRotatingLogger('check', path.resolve('spd.log'), 1 << 20, 1);
logger.info('logged');
logger.flush();
assert(existsSync('spd.log'), 'spdlog wrote nothing');

const sqlite = server('@vscode/sqlite3');
const sum = await limit(new Promise((resolve, reject) => {
  const database = new sqlite.Database(':memory:', (error) => error ? reject(error) :
    database.get('select 40 + 2 as sum', (fault, row) => fault ? reject(fault) : resolve(row.sum)));
}), 'database');
assert(sum === 42, `database: ${sum}`);

const argon2 = top('argon2');
assert(await argon2.verify(await argon2.hash('right'), 'right'), 'argon2 does not know its own hash');
console.log(JSON.stringify({ check: 'code_server_native', ok: true, search: path.relative(root, rgPath) }));
process.exit(0);
SCRIPT
said=$("$node" native.mjs "$root" 2>&1) || fail "$(grep -m 1 'Error' <<< "$said" || tail -n 1 <<< "$said")"
tail -n 1 <<< "$said"
