#!/usr/bin/env bash
# The driver is at work: it sees every GPU on the bus, and the loaded module is of the locked version.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nvidia_smi", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

# PCI vendor 10de is NVIDIA; class 03 is a display controller, 0302 one without a display
bus=0
for device in /sys/bus/pci/devices/*; do
    [ -r "$device/vendor" ] && [ "$(cat "$device/vendor")" = 0x10de ] || continue
    case $(cat "$device/class") in 0x03*) bus=$((bus + 1)) ;; esac
done
if [ "$bus" = 0 ]; then
    printf '{"check": "nvidia_smi", "reason": "no GPU"}\n'
    exit 77
fi
seen=$(nvidia-smi --query-gpu=driver_version,name,memory.total --format=csv,noheader) || fail "nvidia-smi: $seen"
[ "$(wc -l <<<"$seen")" = "$bus" ] || fail "$bus GPUs are on the bus, and nvidia-smi sees: $seen"
loaded=$(cat /sys/module/nvidia/version)
[ "${seen%%,*}" = "$loaded" ] || fail "the module is $loaded, nvidia-smi says ${seen%%,*}"
printf '{"check": "nvidia_smi", "ok": true, "version": "%s", "GPUs": %d}\n' "$loaded" "$bus"
