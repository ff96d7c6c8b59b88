"""Images as engines hand them out: what `docker save` writes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backports import zstd

OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class Saved:
    """An image: its id as the engine calls it, the archive, the digests of its layers as they are unpacked."""

    id: str
    archive: bytes
    diff_ids: tuple[str, ...]


def layer(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed layer."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def saved(
    layers: Sequence[Mapping[str, bytes]],
    *,
    how: str = "containerd",
    env: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Saved:
    """An image as an engine with containerd's image store has it, with a graph driver (`graph`), or an `old` one."""
    plain = [layer(one) for one in layers]
    # the base of an image lies there as it came: unpacked
    blobs = [one if how != "containerd" or not number else zstd.compress(one, 1) for number, one in enumerate(plain)]
    diff_ids = tuple(map(_digest, plain))
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": list(env), "Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        }
    )
    members: dict[str, bytes | str] = {}
    if how == "old":
        names = [f"{number:064x}/layer.tar" for number in range(len(blobs))]
        for number, (name, blob) in enumerate(zip(names, blobs, strict=True)):
            same = blobs.index(blob)
            members[name] = blob if same == number else f"../{same:064x}/layer.tar"
            members[f"{number:064x}/VERSION"] = b"1.0"
        config_name = f"{_digest(config)[7:]}.json"
    else:
        names = [_name(blob) for blob in blobs]
        members |= dict(zip(names, blobs, strict=True))
        config_name = _name(config)
        kinds = [
            f"{OCI}.layer.v1.tar" + ("+zstd" if how == "containerd" and number else "") for number in range(len(blobs))
        ]
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": _described(config, f"{OCI}.config.v1+json"),
                "layers": [_described(blob, kind) for blob, kind in zip(blobs, kinds, strict=True)],
            }
        )
        members[_name(manifest)] = manifest
        index = {"schemaVersion": 2, "manifests": [_described(manifest, f"{OCI}.manifest.v1+json")]}
        members["index.json"] = _json(index)
        members["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    members[config_name] = config
    members["manifest.json"] = _json([{"Config": config_name, "RepoTags": [], "Layers": names}])
    return Saved(_digest(manifest) if how == "containerd" else _digest(config), archive_of(members), diff_ids)


def archive_of(members: Mapping[str, bytes | str]) -> bytes:
    """An archive with these files; text is where a link leads to."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in sorted(members.items()):
            member = tarfile.TarInfo(name)
            if isinstance(data, str):
                member.type, member.linkname = tarfile.SYMTYPE, data
                tar.addfile(member)
            else:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _name(data: bytes) -> str:
    return f"blobs/sha256/{_digest(data)[7:]}"


def _described(data: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}
