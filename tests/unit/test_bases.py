"""Bases: what is said when a registry cannot be reached, and disks that lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsvm.catalog import load
from dsvm.container.layouts import layout_faults, write_layout
from dsvm.ecosystems.bases import said_by_skopeo
from dsvm.store import Hashed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'time="2026-11-23T01:49:39Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:9/x:1\\": '
            'pinging container registry 127.0.0.1:9: Get \\"http://127.0.0.1:9/v2/\\": '
            'dial tcp 127.0.0.1:9: connect: refused"',
            "dial tcp 127.0.0.1:9: connect: refused",
        ),
        ('time="2026-11-23T01:49:39Z" level=fatal msg="unsupported digest"', "unsupported digest"),
        ("skopeo: command not found", "skopeo: command not found"),
        ("", ""),
    ],
)
def test_what_skopeo_says_is_told_without_the_reference(line: str, said: str) -> None:
    assert said_by_skopeo(line) == said


def test_a_base_that_was_changed_on_the_disk_is_noticed(tmp_path: Path) -> None:
    """Whichever of its files it is: manifest, configuration or layer."""
    packed = tmp_path / "base.tar"
    packed.write_bytes(b"files of a base")
    digest = write_layout(tmp_path / "layout", packed, base=load().bases["debian-12"], epoch=0)
    assert layout_faults(tmp_path / "layout", digest, Hashed(tmp_path / "hashed.json")) == []
    blobs = sorted((tmp_path / "layout/blobs/sha256").iterdir())
    assert len(blobs) == 3
    for blob in blobs:
        data, stat = blob.read_bytes(), blob.stat()
        blob.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        os.utime(blob, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        faults = layout_faults(tmp_path / "layout", digest, Hashed(tmp_path / "hashed.json"))
        assert faults == [f"{blob} is damaged or not there"]
        blob.unlink()
        assert layout_faults(tmp_path / "layout", digest, Hashed(tmp_path / "hashed.json")) == faults
        blob.write_bytes(data)
