"""The base of an image as an OCI layout in the store: made from its locked packages, or copied from its registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from dsvm import ecosystems
from dsvm.ecosystems import Context, blob, copy_from_registry, layout_folder
from dsvm.host import scratch
from dsvm.model import Base, Lock, Section, StoreError
from dsvm.session import Session
from dsvm.store import Hashed

OCI = "application/vnd.oci.image"


def layout(
    base: Base, kind: str, section: Section, context: Context, *, log: Path, echo: Callable[[str], None]
) -> tuple[Path, str]:
    """The base as an OCI layout folder and its manifest digest; made when it is not in the store yet.

    Raises StoreError when it cannot be made, naming `log`.
    """
    folder = layout_folder(base, section, context.store.root)
    stamp = folder / "digest"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if stamp.is_file():
            digest = stamp.read_text().strip()
            if not (faults := layout_faults(folder, digest, context.store.hashed)):
                context.store.hashed.save()
                return folder, digest
            for fault in faults:
                echo(f"base: {fault}: it is made anew")
        shutil.rmtree(folder, ignore_errors=True)
        echo(f"base: making {base.base} ({kind})")
        if kind == "registry":
            partial = folder.with_suffix(".part")
            _, digest = copy_from_registry(base, partial, context)
            wanted = section.pin("manifest")
            if wanted is None or digest != f"sha256:{wanted.sha256}":
                raise StoreError(f"{base.image}: the registry served {digest}, the lock has another")
        else:
            partial = folder.with_suffix(".part")
            shutil.rmtree(partial, ignore_errors=True)
            with scratch("base") as work:
                tar = ecosystems.system(base).bootstrap(base, section, context.store, work, log)
                digest = write_layout(partial, tar, base=base, epoch=section.epoch)
        (partial / "digest").write_text(digest + "\n")
        partial.rename(folder)
    return folder, digest


def layout_faults(layout: Path, digest: str, hashed: Hashed) -> list[str]:
    """Blobs of an OCI layout that are not what their digests say; a file that was hashed as it is is not read again."""

    def is_right(name: str) -> bool:
        try:
            return f"sha256:{hashed.digest(blob(layout, name))}" == name
        except OSError:
            return False

    if not is_right(digest):
        return [f"{blob(layout, digest)} is damaged or not there"]
    manifest = json.loads(blob(layout, digest).read_bytes())
    blobs = [one["digest"] for one in (manifest["config"], *manifest["layers"])]
    return [f"{blob(layout, one)} is damaged or not there" for one in blobs if not is_right(one)]


def archive(layout: Path, digest: str, target: Path, *, name: str) -> None:
    """Write an OCI layout as an archive that `docker load` takes, for engines that build from no layout.

    https://github.com/moby/docker-image-spec (combined image JSON and file system changeset format)
    """
    manifest = json.loads(blob(layout, digest).read_bytes())
    blobs = [str(blob(Path(), one["digest"])) for one in (manifest["config"], *manifest["layers"])]
    entry = json.dumps([{"Config": blobs[0], "RepoTags": [name], "Layers": blobs[1:]}]).encode()
    with tarfile.open(target, "w") as tar:
        for path in blobs:
            tar.add(layout / path, path)
        member = tarfile.TarInfo("manifest.json")
        member.size = len(entry)
        tar.addfile(member, io.BytesIO(entry))


def write_layout(folder: Path, tar: Path, *, base: Base, epoch: int) -> str:
    """An OCI image layout of one uncompressed layer; returns the digest of its manifest.

    https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tar.open("rb") as stream:
        layer = hashlib.file_digest(stream, "sha256").hexdigest()
    size = tar.stat().st_size
    shutil.move(tar, blobs / layer)

    def put(value: Mapping[str, Any], kind: str) -> dict[str, Any]:
        data = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"{OCI}.{kind}.v1+json", "digest": f"sha256:{digest}", "size": len(data)}

    config = put(
        {
            "architecture": base.arch,
            "os": "linux",
            "created": created,
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
            "history": [{"created": created, "created_by": f"{ecosystems.system(base).bootstrapper} {base.base}"}],
        },
        "config",
    )
    manifest = put(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": config,
            "layers": [{"mediaType": f"{OCI}.layer.v1.tar", "digest": f"sha256:{layer}", "size": size}],
        },
        "manifest",
    )
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [manifest]}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    os.sync()
    return str(manifest["digest"])


def base_layout(session: Session, locked: Lock, log: Path) -> tuple[Path, str]:
    """The base of a lock as an OCI layout folder and its manifest digest; made when the store lacks it.

    Raises StoreError when it cannot be made, naming `log`.
    """
    section = next(section for section in locked.sections if section.id == "base")
    with session.context(locked.variant) as context:
        base = session.catalog.bases[locked.base]
        return layout(base, locked.base_kind, section, context, log=log, echo=session.echo)
