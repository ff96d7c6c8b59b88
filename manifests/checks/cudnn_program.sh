#!/usr/bin/env bash
# A program of nvcc's links with -lcudnn and runs: header and library are of one version, the parts of the library load
# and fit together, and it says what is missing where there is no driver. Needs no GPU.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "cudnn_program", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

cat > program.cu <<'CUDA'
#include <cstdio>
#include <cstring>
#include <cudnn.h>

int main() {
    if (cudnnGetVersion() != CUDNN_VERSION) {
        printf("the library is %zu, its header %d", cudnnGetVersion(), CUDNN_VERSION);
        return 1;
    }
    cudnnStatus_t (*parts[])() = {cudnnGraphVersionCheck, cudnnOpsVersionCheck, cudnnCnnVersionCheck, cudnnAdvVersionCheck};
    for (cudnnStatus_t (*part)() : parts)
        if (cudnnStatus_t status = part()) {
            printf("a part of the library does not fit: %s", cudnnGetErrorString(status));
            return 2;
        }
    cudnnTensorDescriptor_t tensor;
    cudnnDataType_t type;
    int n, c, h, w, strides[4];
    if (cudnnCreateTensorDescriptor(&tensor)
        || cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 2, 3, 5, 7)
        || cudnnGetTensor4dDescriptor(tensor, &type, &n, &c, &h, &w, strides, strides + 1, strides + 2, strides + 3)
        || strides[0] != 105 || strides[1] != 1 || strides[2] != 21 || strides[3] != 3) {
        printf("a tensor is described wrongly");
        return 3;
    }
    cudnnHandle_t handle;
    cudnnStatus_t status = cudnnCreate(&handle);
    printf("%s with CUDA %zu", cudnnGetErrorString(status), cudnnGetCudartVersion() / 1000);
    return 0;
}
CUDA

nvcc -o program program.cu -lcudnn >nvcc.log 2>&1 || fail "nvcc: $(grep -m1 -i -e error -e 'cannot find' nvcc.log || true)"
found=$(./program 2>&1) || fail "the program ended with $?: $found"
case $found in
    CUDNN_STATUS_SUCCESS\ with\ CUDA\ 1[0-9] | CUDNN_STATUS_NOT_INITIALIZED*with\ CUDA\ 1[0-9]) ;;
    *) fail "the program printed $found" ;;
esac
printf '{"check": "cudnn_program", "ok": true, "found": "%s"}\n' "$found"
