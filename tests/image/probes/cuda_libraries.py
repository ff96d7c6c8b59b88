"""The CUDA libraries below the folders of argv: prints {path: library} as JSON, of files and not of links to them.

With --load it prints {"path": why it does not load} instead. What the driver brings is no fault where there is none.
"""

import ctypes
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

LIBRARY = re.compile(
    r"(lib(?:cudart|cublas|cublasLt|cudnn\w*|cufft|cufftw|curand|cusolver|cusolverMg|cusparse|cupti|nccl|nvrtc|nvJitLink))"
    r"(?:-[0-9a-f]+)?\.so[.0-9]*"
)
NO_FILES = (Path("/proc"), Path("/sys"), Path("/dev"))
DRIVER = ("libcuda.so", "libnvidia-")


def libraries(roots: list[str]) -> Iterator[tuple[str, str]]:
    for root in roots:
        for folder, folders, names in os.walk(root):
            here = Path(folder)
            folders[:] = [name for name in folders if here / name not in NO_FILES]
            for name in names:
                found = LIBRARY.fullmatch(name)
                if found and not (here / name).is_symlink():
                    yield str(here / name), found[1]


def not_loading(paths: list[str]) -> dict[str, str]:
    """Libraries need each other: what does not load is tried again for as long as another one did."""
    faults: dict[str, str] = {}
    waiting, before = sorted(paths), -1
    while waiting and len(waiting) != before:
        before, faults = len(waiting), {}
        for path in waiting:
            try:
                ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                faults[path] = str(error)
        waiting = sorted(faults)
    return {path: why for path, why in faults.items() if not why.startswith(DRIVER)}


if sys.argv[1] == "--load":
    print(json.dumps(not_loading([path for path, _ in libraries(sys.argv[2:])])))
else:
    print(json.dumps(dict(libraries(sys.argv[1:]))))
