#!/usr/bin/env bash
# NVIDIA's modules are built for every kernel of the image whose headers are there, and libcuda and nvidia-smi are of the
# same version. Needs no GPU.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nvidia_driver", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

kernels=0
version=
for headers in /lib/modules/*/build; do
    [ -e "$headers" ] || continue
    kernel=$(basename "$(dirname "$headers")")
    for module in nvidia nvidia-uvm nvidia-modeset; do
        found=$(modinfo --field version --set-version "$kernel" "$module" 2>/dev/null) \
            || fail "no module $module for kernel $kernel"
        [ "${version:=$found}" = "$found" ] || fail "$module is $found for kernel $kernel, another module $version"
    done
    kernels=$((kernels + 1))
done
[ "$kernels" -gt 0 ] || fail "there are headers of no kernel"
library=$(readlink -f /usr/lib/x86_64-linux-gnu/libcuda.so.1) || fail "no libcuda.so.1"
[ "${library##*/}" = "libcuda.so.$version" ] || fail "the modules are $version, the library is ${library##*/}"
ldd "$library" >ldd.txt
if grep 'not found' ldd.txt >&2; then fail "libcuda.so.1 lacks a library"; fi
tool=$(nvidia-smi --version 2>/dev/null | grep -oE '[0-9]{3,4}\.[0-9]+(\.[0-9]+)?' | head -n 1) || true
[ -z "$tool" ] || [ "$tool" = "$version" ] || fail "the modules are $version, nvidia-smi is $tool"
printf '{"check": "nvidia_driver", "ok": true, "version": "%s", "kernels": %d}\n' "$version" "$kernels"
