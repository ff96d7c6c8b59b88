"""What a user's machine keeps between its starts, with the real qemu-img."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from dsvm.model import FileError, InputError
from dsvm.vm.kept import Disk

SHA256 = "a" * 64


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "build/lab.qcow2"
    path.parent.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 7 0 64k", path], check=True, capture_output=True)
    return path


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Disk.of("lab")


def holds(disk: Disk, pattern: int, at: str) -> bool:
    words: list[str | Path] = ["qemu-io", "-r", "-c", f"read -P {pattern} {at} 64k", disk.path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "verification failed" not in done.stdout


def test_a_disk_keeps_what_was_written_and_the_image_under_it(disk: Disk, image: Path) -> None:
    assert disk.known() is None
    made = disk.make(image, SHA256, "dsvm-1")
    assert disk.known() == made
    assert disk.folder.stat().st_mode & 0o777 == 0o700
    subprocess.run(["qemu-io", "-c", "write -P 9 64k 64k", disk.path], check=True, capture_output=True)
    # the image is built anew, and its folder cleaned
    image.unlink()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "8M"], check=True)
    assert holds(disk, 7, "0") and holds(disk, 9, "64k")
    assert not holds(disk, 8, "0"), "else it finds everything"
    assert disk.known() == made
    assert disk.forget() and not disk.forget()
    assert disk.known() is None


@pytest.mark.parametrize("spoil", ["kept.json", "disk.qcow2", "image.qcow2", "key"])
def test_what_is_not_whole_is_said_and_stays(disk: Disk, image: Path, spoil: str) -> None:
    disk.make(image, SHA256, "dsvm-1")
    (disk.folder / spoil).unlink()
    with pytest.raises(InputError, match="is not whole"):
        disk.known()
    assert disk.folder.exists()


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"image": "x", "instance": "y"})])
def test_what_stands_beside_it_is_not_believed(disk: Disk, image: Path, text: str) -> None:
    disk.make(image, SHA256, "dsvm-1")
    (disk.folder / "kept.json").write_text(text)
    with pytest.raises(InputError, match="is not whole"):
        disk.known()


def test_a_beginning_that_fails_leaves_nothing(disk: Disk, image: Path) -> None:
    disk.folder.parent.parent.mkdir(parents=True)
    disk.folder.parent.write_text("a file in the place of a folder")
    with pytest.raises(FileError, match="cannot be written"):
        disk.make(image, SHA256, "dsvm-1")
    assert disk.folder.parent.read_text().startswith("a file")
