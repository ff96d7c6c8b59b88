"""The PyTorch of a GPU image is a CUDA build for the GPUs of today; needs no GPU."""

from __future__ import annotations

from lib.outcome import run_check

# Compute capability, https://developer.nvidia.com/cuda-gpus: what today's data centres have
GPUS = {"A100": 80, "H100": 90, "B200": 100}


def check() -> dict[str, object]:
    import torch

    if not torch.version.cuda:
        raise AssertionError("a CPU build: torch.version.cuda is None")
    # torch.cuda.get_arch_list() says nothing on a machine without a GPU
    flags = torch._C._cuda_getArchFlags()
    architectures = sorted(flags.split()) if flags else []
    if not architectures:
        raise AssertionError("built for no GPU architecture")
    carried = {int(name.removeprefix("sm_").rstrip("af")) for name in architectures if name.startswith("sm_")}
    # the binary code of one architecture runs on later ones of its major version
    missing = [
        name for name, number in GPUS.items() if not any(n // 10 == number // 10 and n <= number for n in carried)
    ]
    if missing:
        raise AssertionError(f"no code for {missing}: it carries {architectures}")
    if not torch.backends.cudnn.version():
        raise AssertionError("no cuDNN")
    if not torch.distributed.is_nccl_available():
        raise AssertionError("no NCCL")
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),
        "architectures": architectures,
    }


if __name__ == "__main__":
    run_check(__file__, check)
