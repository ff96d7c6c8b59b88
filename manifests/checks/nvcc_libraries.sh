#!/usr/bin/env bash
# Programs link with the toolkit's libraries by their ordinary names and find them when they run: NVRTC compiles a
# kernel, cuBLAS and the runtime tell their versions. Needs no GPU.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nvcc_libraries", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > libraries.cu <<'CUDA'
#include <cstdio>
#include <string>
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <nvrtc.h>

int main() {
    const char *kernel = "extern \"C\" __global__ void twice(float *x) { x[threadIdx.x] *= 2; }";
    const char *options[] = {"--gpu-architecture=compute_90"};
    nvrtcProgram program;
    size_t size = 0;
    if (nvrtcCreateProgram(&program, kernel, "twice.cu", 0, nullptr, nullptr) != NVRTC_SUCCESS
        || nvrtcCompileProgram(program, 1, options) != NVRTC_SUCCESS || nvrtcGetPTXSize(program, &size) != NVRTC_SUCCESS)
        return 1;
    std::string ptx(size, 0);
    if (nvrtcGetPTX(program, &ptx[0]) != NVRTC_SUCCESS || ptx.find(".entry twice") == std::string::npos) return 2;
    int runtime = 0, blas = 0;
    if (cudaRuntimeGetVersion(&runtime) != cudaSuccess || runtime != CUDART_VERSION) return 3;
    if (cublasGetProperty(MAJOR_VERSION, &blas) != CUBLAS_STATUS_SUCCESS || blas != CUBLAS_VER_MAJOR) return 4;
    printf("%d.%d\n", runtime / 1000, runtime % 1000 / 10);
    return 0;
}
CUDA

nvcc --cudart=shared -o libraries libraries.cu -lnvrtc -lcublas >nvcc.log 2>&1 \
    || fail "nvcc: $(grep -m1 -i -e error -e 'cannot find' nvcc.log || true)"
found=$(./libraries 2>&1) || fail "the program ended with $?: $found"
printf '{"check": "nvcc_libraries", "ok": true, "runtime": "%s"}\n' "$found"
