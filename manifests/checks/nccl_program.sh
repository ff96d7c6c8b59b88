#!/usr/bin/env bash
# A program of nvcc's links with -lnccl and runs: header and library are of one version, and the library makes the id by
# which processes find each other. Needs no GPU.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nccl_program", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > program.cu <<'CUDA'
#include <cstdio>
#include <cstring>
#include <nccl.h>

int main() {
    int version = 0;
    if (ncclGetVersion(&version) != ncclSuccess || version != NCCL_VERSION_CODE) {
        printf("the library is %d, its header %d", version, NCCL_VERSION_CODE);
        return 1;
    }
    ncclUniqueId one, other;
    ncclResult_t result = ncclGetUniqueId(&one);
    if (result == ncclSuccess) result = ncclGetUniqueId(&other);
    if (result != ncclSuccess) {
        printf("no id: %s: %s", ncclGetErrorString(result), ncclGetLastError(nullptr));
        return 2;
    }
    if (memcmp(&one, &other, sizeof one) == 0) return 3;
    printf("%d", version);
    return 0;
}
CUDA

nvcc -o program program.cu -lnccl >nvcc.log 2>&1 || fail "nvcc: $(grep -m1 -i -e error -e 'cannot find' nvcc.log || true)"
found=$(NCCL_SOCKET_IFNAME=lo ./program 2>program.log) || fail "the program ended with $?: $found $(tail -n 1 program.log)"
printf '{"check": "nccl_program", "ok": true, "version": "%s"}\n' "$found"
