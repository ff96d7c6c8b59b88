#!/usr/bin/env bash
# NCCL adds up over all GPUs of the machine.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nccl_allreduce", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > allreduce.cu <<'CUDA'
#include <cstdio>
#include <vector>
#include <cuda_runtime.h>
#include <nccl.h>

int main() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) return 77;
    const size_t count = 1 << 20;
    std::vector<ncclComm_t> members(devices);
    std::vector<float *> parts(devices);
    std::vector<cudaStream_t> streams(devices);
    if (ncclCommInitAll(members.data(), devices, nullptr) != ncclSuccess) return 1;
    for (int i = 0; i < devices; i++) {
        std::vector<float> values(count, static_cast<float>(i + 1));
        if (cudaSetDevice(i) || cudaStreamCreate(&streams[i]) || cudaMalloc(&parts[i], count * sizeof(float))
            || cudaMemcpy(parts[i], values.data(), count * sizeof(float), cudaMemcpyHostToDevice))
            return 2;
    }
    ncclGroupStart();
    for (int i = 0; i < devices; i++)
        if (ncclAllReduce(parts[i], parts[i], count, ncclFloat, ncclSum, members[i], streams[i]) != ncclSuccess) return 3;
    if (ncclGroupEnd() != ncclSuccess) return 4;
    for (int i = 0; i < devices; i++) {
        std::vector<float> values(count);
        if (cudaSetDevice(i) || cudaStreamSynchronize(streams[i])
            || cudaMemcpy(values.data(), parts[i], count * sizeof(float), cudaMemcpyDeviceToHost))
            return 5;
        for (float value : values)
            if (value != devices * (devices + 1) / 2) return 6;
        ncclCommDestroy(members[i]);
    }
    printf("%d", devices);
    return 0;
}
CUDA

nvcc -o allreduce allreduce.cu -lnccl >nvcc.log 2>&1 || fail "nvcc: $(grep -m1 -i -e error -e 'cannot find' nvcc.log || true)"
code=0
found=$(NCCL_SOCKET_IFNAME=lo ./allreduce 2>allreduce.log) || code=$?
if [ "$code" = 77 ]; then
    printf '{"check": "nccl_allreduce", "reason": "no GPU"}\n'
    exit 77
fi
[ "$code" = 0 ] || fail "the program ended with $code: $(tail -n 1 allreduce.log)"
printf '{"check": "nccl_allreduce", "ok": true, "GPUs": %s}\n' "$found"
