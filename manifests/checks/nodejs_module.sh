#!/usr/bin/env bash
# node runs a program of two modules with worker threads, and npm installs a package from a folder.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nodejs_module", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

mkdir -p part
cat > part/package.json <<'END'
{"name": "part", "version": "1.2.3", "main": "part.js", "bin": {"part": "part.js"}}
END
cat > part/part.js <<'END'
#!/usr/bin/env node
exports.sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
if (require.main === module) console.log(`part ${exports.sum([20, 22])}`);
END
cat > check.mjs <<'END'
import { Worker } from "node:worker_threads";
import { createHash } from "node:crypto";
import part from "part";

const worker = new Worker('require("worker_threads").parentPort.postMessage([1, 2, 39])', { eval: true });
worker.once("message", (numbers) => {
    console.log(part.sum(numbers), createHash("sha256").update("Łódź").digest("hex").slice(0, 8));
});
END
export npm_config_cache=$PWD/cache npm_config_offline=true npm_config_audit=false npm_config_fund=false
export npm_config_update_notifier=false
npm install --loglevel=error --no-save --install-links ./part >npm.log 2>&1 || fail "npm install: $(tail -n 1 npm.log)"
printed=$(node check.mjs)
[ "$printed" = "42 $(printf Łódź | sha256sum | cut -c 1-8)" ] || fail "the program printed $printed"
[ "$(npx --no-install part)" = "part 42" ] || fail "npx did not run the installed command"
printf '{"check": "nodejs_module", "ok": true}\n'
