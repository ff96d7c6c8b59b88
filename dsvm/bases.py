"""The operating system an image starts from, as an OCI layout in the store.

It comes from a registry by digest where skopeo reaches one, else from the distribution's archive by
mmdebstrap, out of locked packages and offline. A base for virtual machines only may be neither: then it is an
installed system that the machine's builder brings.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debian.deb822 import Deb822
from debian.debfile import DebFile
from filelock import FileLock

from dsvm import ecosystems
from dsvm.ecosystems import Context, Request
from dsvm.errors import LockError, ProgramError, StoreError
from dsvm.model import Base, BaseKind, Pin, Section, digest_of
from dsvm.run import run
from dsvm.store import Store

OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class ResolvedBase:
    kind: BaseKind
    request: Any
    pins: tuple[Pin, ...]
    # the base's package status, in its ecosystem's own form, and what installing or checking needs to know
    status: str
    extra: Mapping[str, Any]
    # why the registry's image was not taken: news for people, and nothing for a lock, as each machine says it otherwise
    passed_over: str = ""


def resolve(context: Context) -> ResolvedBase:
    """Pins of the base and the package status that its system ecosystem starts from."""
    base = context.base
    if base.image is None and base.bootstrap is None and base.formats and "docker" not in base.formats:
        return ResolvedBase("machine", {}, (), "", {})
    fault = "it names no registry image" if base.image is None else _registry_fault(base.image, context)
    if fault is None:
        return _resolve_registry(context)
    if base.bootstrap is None:
        raise LockError(f"base {base.base} cannot be had: {fault}, and there is no 'bootstrap' for it")
    ecosystem: Any = ecosystems.get(base.ecosystem)
    request = {"bootstrap": base.bootstrap.model_dump(mode="json")}
    items = (("?essential", "apt", *base.bootstrap.include),)
    pins, _ = ecosystem.resolve(Request("base", "base", items), context)
    return ResolvedBase("bootstrap", request, tuple(pins), ecosystem.status(pins, context), {}, fault)


def _skopeo(image: str, context: Context) -> tuple[str, list[str]]:
    """Reference and options under which skopeo finds `image` on this machine."""
    for mirror in context.machine.source("docker"):
        plain = ["--tls-verify=false"] if mirror.startswith("http://") else []
        return f"docker://{mirror.split('://')[-1].rstrip('/')}/{image}", plain
    return f"docker://{image}", []


def _registry_fault(image: str, context: Context) -> str | None:
    reference, options = _skopeo(image, context)
    try:
        run(["skopeo", "inspect", "--raw", *options, reference], timeout=60)
    except ProgramError as error:
        reason = error.output.strip().splitlines()[-1:] or [error.message]
        found = re.search(r'(?:msg=")?([^"]*?)"?$', reason[0])
        return f"{image}: {found[1] if found else reason[0]}"
    return None


def _resolve_registry(context: Context) -> ResolvedBase:
    base = context.base
    assert base.image is not None  # noqa: S101 - for the type checker
    folder = context.work / "registry-base"
    layout, _ = _copy_from_registry(base, folder, context)
    manifest, pins = _layout_pins(base, layout)
    status = _status_of_layers(layout, manifest)
    packages = {
        entry["Package"]: entry["Version"]
        for entry in Deb822.iter_paragraphs(status.splitlines(), use_apt_pkg=False)
        if entry.get("Status", "").endswith(" installed")
    }
    return ResolvedBase("registry", {"image": base.image}, tuple(pins), status, {"packages": packages})


def _copy_from_registry(base: Base, folder: Path, context: Context) -> tuple[Path, str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    reference, options = _skopeo(str(base.image), context)
    options = [option.replace("--tls-verify", "--src-tls-verify") for option in options]
    run(
        [
            *("skopeo", "copy", "--quiet", "--insecure-policy", "--preserve-digests"),
            *("--override-os", "linux", "--override-arch", base.arch, *options),
            *(reference, f"oci:{folder}:base"),
        ],
        timeout=1800,
    )
    index = json.loads((folder / "index.json").read_text())
    return folder, index["manifests"][0]["digest"]


def _layout_pins(base: Base, layout: Path) -> tuple[Mapping[str, Any], list[Pin]]:
    """Every blob of the image as a pin, the manifest first by name."""
    descriptor = json.loads((layout / "index.json").read_text())["manifests"][0]
    manifest = json.loads(_blob(layout, descriptor["digest"]).read_bytes())
    repository, _, digest = str(base.image).partition("@")
    blobs = [("manifest", descriptor), ("config", manifest["config"])]
    blobs += [(f"layer-{number:03}", layer) for number, layer in enumerate(manifest["layers"])]
    pins = [
        Pin(
            name=name,
            version=digest,
            file=f"{repository}@{blob['digest']}",
            size=blob["size"],
            sha256=blob["digest"].removeprefix("sha256:"),
            registry="docker",
        )
        for name, blob in blobs
    ]
    return manifest, sorted(pins, key=lambda pin: pin.name)


def _status_of_layers(layout: Path, manifest: Mapping[str, Any]) -> str:
    """dpkg's status file, from the last layer that has it."""
    for layer in reversed(manifest["layers"]):
        path = _blob(layout, layer["digest"])
        opener: Any = gzip.open if layer["mediaType"].endswith("gzip") else open
        with opener(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if member.name.removeprefix("./") == "var/lib/dpkg/status":
                    file = tar.extractfile(member)
                    return file.read().decode() if file else ""
    raise LockError("the registry image holds no /var/lib/dpkg/status", hint="Is it a Debian or Ubuntu image?")


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def layout(
    base: Base, kind: str, section: Section, context: Context, *, log: Path, say: Callable[[str], None]
) -> tuple[Path, str]:
    """The base as an OCI layout folder and its manifest digest; made when it is not in the store yet.

    Raises StoreError when it cannot be made, naming `log`.
    """
    folder = layout_folder(base, section, context.store.root)
    stamp = folder / "digest"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if stamp.is_file():
            return folder, stamp.read_text().strip()
        shutil.rmtree(folder, ignore_errors=True)
        say(f"base: making {base.base} ({kind})")
        if kind == "registry":
            partial = folder.with_suffix(".part")
            _, digest = _copy_from_registry(base, partial, context)
            wanted = section.pin("manifest")
            if wanted is None or digest != f"sha256:{wanted.sha256}":
                raise StoreError(f"{base.image}: the registry served {digest}, the lock has another")
        else:
            partial = folder.with_suffix(".part")
            shutil.rmtree(partial, ignore_errors=True)
            digest = _bootstrap(base, section, context.store, partial, log)
        (partial / "digest").write_text(digest + "\n")
        partial.rename(folder)
    return folder, digest


def layout_folder(base: Base, section: Section, root: Path) -> Path:
    """Where the store at `root` has the base of a lock, or will have it; named by what determines it."""
    name = digest_of([base.model_dump(mode="json"), [pin.sha256 for pin in section.pins], section.epoch])
    return root / "bases" / name


def archive(layout: Path, digest: str, target: Path, *, name: str) -> None:
    """Write an OCI layout as an archive that `docker load` takes, for engines that build from no layout.

    https://github.com/moby/docker-image-spec (combined image JSON and file system changeset format)
    """
    manifest = json.loads(_blob(layout, digest).read_bytes())
    blobs = [str(_blob(Path(), one["digest"])) for one in (manifest["config"], *manifest["layers"])]
    entry = json.dumps([{"Config": blobs[0], "RepoTags": [name], "Layers": blobs[1:]}]).encode()
    with tarfile.open(target, "w") as tar:
        for blob in blobs:
            tar.add(layout / blob, blob)
        member = tarfile.TarInfo("manifest.json")
        member.size = len(entry)
        tar.addfile(member, io.BytesIO(entry))


def _bootstrap(base: Base, section: Section, store: Store, folder: Path, log: Path) -> str:
    """Make the base with mmdebstrap from locked packages, without a network; returns the manifest digest."""
    assert base.bootstrap is not None  # noqa: S101 - for the type checker
    with tempfile.TemporaryDirectory(prefix="dsvm-base-") as temporary:
        # apt's sandbox user reads the archive
        work = Path(temporary)
        work.chmod(0o755)
        archive = flat_archive(work / "archive", section.pins, store)
        tar = work / "root.tar"
        suite = base.bootstrap.suites[0].partition("/")[2]
        run(
            [
                *("mmdebstrap", "--mode=auto", "--variant=custom", f"--architectures={base.arch}"),
                f"--include={','.join(f'{pin.name}' for pin in section.pins)}",
                *("--aptopt=Acquire::Languages none", "--aptopt=APT::Install-Recommends false"),
                "--dpkgopt=force-unsafe-io",
                # the archive is this run's own folder: no later apt may look for it
                '--customize-hook=rm -f "$1/etc/apt/sources.list" "$1/etc/apt/apt.conf.d/99mmdebstrap" '
                '"$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
                *(f"--customize-hook={hook}" for hook in _CLEAN),
                *(suite, tar, f"deb [trusted=yes] copy:{archive} ./"),
            ],
            env={"SOURCE_DATE_EPOCH": str(section.epoch)},
            timeout=1800,
            log=log,
        )
        return write_layout(folder, tar, base=base, epoch=section.epoch)


_CLEAN = (
    'rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/aux-cache "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin',
    'rm -f "$1"/etc/*- "$1"/var/lib/dpkg/*-old "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/machine-id',
)


def flat_archive(folder: Path, pins: Sequence[Pin], store: Store) -> Path:
    """A folder that apt reads as an archive: the packages and their Packages index."""
    store.tree(folder, {pin.filename: pin.sha256 for pin in pins})
    stanzas = []
    for pin in pins:
        control = DebFile(str(folder / pin.filename)).debcontrol()
        control["Filename"] = f"./{pin.filename}"
        control["Size"] = str(pin.size)
        control["SHA256"] = pin.sha256
        stanzas.append(control.dump())
    (folder / "Packages").write_text("\n".join(filter(None, stanzas)))
    return folder


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
            "history": [{"created": created, "created_by": f"mmdebstrap {base.base}"}],
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
