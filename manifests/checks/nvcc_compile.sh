#!/usr/bin/env bash
# nvcc compiles a kernel for every GPU of today's data centres, and the program says what is missing: a driver, a GPU
# or nothing. Needs no GPU.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "nvcc_compile", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > add.cu <<'CUDA'
#include <cstdio>
#include <cuda_runtime.h>

__global__ void add(int n, const float *x, float *y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += x[i];
}

int main() {
    int devices = 0;
    cudaError_t found = cudaGetDeviceCount(&devices);
    if (found != cudaSuccess || devices == 0) {
        printf("no GPU\n");
        return 0;
    }
    const int n = 1 << 20;
    float *x, *y;
    cudaMallocManaged(&x, n * sizeof(float));
    cudaMallocManaged(&y, n * sizeof(float));
    for (int i = 0; i < n; i++) { x[i] = 1; y[i] = 2; }
    add<<<(n + 255) / 256, 256>>>(n, x, y);
    if (cudaDeviceSynchronize() != cudaSuccess || y[n / 2] != 3) return 1;
    printf("computed on a GPU\n");
    return 0;
}
CUDA

# Turing, A100, A10, L4, H100, B200
architectures=(75 80 86 89 90 100)
code=()
for number in "${architectures[@]}"; do
    code+=(-gencode "arch=compute_$number,code=sm_$number")
done
nvcc --cudart=static "${code[@]}" -o add add.cu >nvcc.log 2>&1 || fail "nvcc: $(grep -m1 -i error nvcc.log || true)"
found=$(./add) || fail "the program went wrong on the GPU"
[ "$found" = "no GPU" ] || [ "$found" = "computed on a GPU" ] || fail "the program printed $found"
printf '{"check": "nvcc_compile", "ok": true, "architectures": "%s", "found": "%s"}\n' "${architectures[*]}" "$found"
