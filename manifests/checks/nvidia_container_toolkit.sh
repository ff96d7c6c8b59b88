#!/usr/bin/env bash
# The toolkit reads its configuration and finds Docker's to be as it would write it; where there is a GPU, it describes
# it to containers.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nvidia_container_toolkit", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cp /etc/docker/daemon.json before.json
cp before.json after.json
nvidia-ctk runtime configure --runtime=docker --config="$PWD/after.json" >configure.log 2>&1 \
    || fail "nvidia-ctk: $(tail -n 1 configure.log)"
sorted() { python3 -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1])), sort_keys=True))' "$1"; }
[ "$(sorted before.json)" = "$(sorted after.json)" ] || fail "Docker's configuration would become $(sorted after.json)"
nvidia-ctk config >config.toml 2>config.log || fail "nvidia-ctk config: $(tail -n 1 config.log)"
grep -q '^\[nvidia-container-runtime\]' config.toml || fail "the configuration has no part for the runtime"
nvidia-container-cli --version >/dev/null
gpus=0
if [ -e /dev/nvidiactl ]; then
    nvidia-ctk cdi generate --output=gpus.yaml 2>cdi.log || fail "nvidia-ctk cdi: $(tail -n 1 cdi.log)"
    gpus=$(grep -c '/dev/nvidia[0-9]' gpus.yaml) || fail "it describes no GPU"
fi
printf '{"check": "nvidia_container_toolkit", "ok": true, "GPUs described": %d}\n' "$gpus"
