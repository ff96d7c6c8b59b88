"""Where Fabric Manager starts: the condition of its service, on made-up machines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FILES = Path(__file__).parents[2] / "manifests" / "files"


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({}, False),
        ({"bus/pci/devices/a/vendor": "0x10de", "bus/pci/devices/a/class": "0x030200"}, False),
        ({"bus/pci/devices/a/vendor": "0x8086", "bus/pci/devices/a/class": "0x068000"}, False),
        ({"bus/pci/devices/a/vendor": "0x10de", "bus/pci/devices/a/class": "0x068000"}, True),
        ({"bus/pci/devices/a/vendor": "0x10de"}, False),
        ({"class/infiniband/mlx5_0/device/vpd": "an ordinary card"}, False),
        ({"class/infiniband/mlx5_0/device/vpd": "a card\0SMDL=SW_MNG\0"}, True),
    ],
)
def test_nvswitch_is_told_from_other_devices(tmp_path: Path, files: dict[str, str], there: bool) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    argv = ["sh", str(FILES / "dsvm-has-nvswitch"), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0 if there else 1, "")
