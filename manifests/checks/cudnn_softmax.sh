#!/usr/bin/env bash
# cuDNN computes on the GPU what the processor computes.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "cudnn_softmax", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > softmax.cu <<'CUDA'
#include <cmath>
#include <cstdio>
#include <vector>
#include <cuda_runtime.h>
#include <cudnn.h>

int main() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) return 77;
    const int rows = 64, columns = 1000;
    std::vector<float> given(rows * columns), found(rows * columns);
    for (size_t i = 0; i < given.size(); i++) given[i] = static_cast<float>(i * 7919 % 1000) / 100;
    float *x, *y, one = 1, zero = 0;
    const size_t bytes = given.size() * sizeof(float);
    cudnnHandle_t handle;
    cudnnTensorDescriptor_t shape;
    if (cudaMalloc(&x, bytes) || cudaMalloc(&y, bytes) || cudaMemcpy(x, given.data(), bytes, cudaMemcpyHostToDevice))
        return 1;
    if (cudnnCreate(&handle) || cudnnCreateTensorDescriptor(&shape)
        || cudnnSetTensor4dDescriptor(shape, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, rows, columns, 1, 1)
        || cudnnSoftmaxForward(handle, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_INSTANCE, &one, shape, x, &zero, shape, y))
        return 2;
    if (cudaMemcpy(found.data(), y, bytes, cudaMemcpyDeviceToHost)) return 3;
    double worst = 0;
    for (int row = 0; row < rows; row++) {
        double sum = 0;
        for (int i = 0; i < columns; i++) sum += std::exp(given[row * columns + i]);
        for (int i = 0; i < columns; i++)
            worst = std::fmax(worst, std::fabs(found[row * columns + i] - std::exp(given[row * columns + i]) / sum));
    }
    printf("%.1e", worst);
    return worst < 1e-6 ? 0 : 4;
}
CUDA

nvcc -o softmax softmax.cu -lcudnn >nvcc.log 2>&1 || fail "nvcc: $(grep -m1 -i -e error -e 'cannot find' nvcc.log || true)"
code=0
found=$(./softmax 2>&1) || code=$?
if [ "$code" = 77 ]; then
    printf '{"check": "cudnn_softmax", "reason": "no GPU"}\n'
    exit 77
fi
[ "$code" = 0 ] || fail "the program ended with $code: $found"
printf '{"check": "cudnn_softmax", "ok": true, "worst error": "%s"}\n' "$found"
