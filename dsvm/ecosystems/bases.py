"""The operating system an image starts from: how it can be had, and what it is made of.

It comes from a registry by digest where skopeo reaches one, else from the distribution's archive by
mmdebstrap, out of locked packages and offline. A base for virtual machines only may be neither: then it is an
installed system that the machine's builder brings.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dsvm.ecosystems.protocol import Context, Request
from dsvm.ecosystems.registered import system
from dsvm.host import run
from dsvm.model import Base, BaseKind, LockError, Pin, ProgramError, Section, digest_of


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
    """Pins of the base and the package status that its system ecosystem starts from.

    Raises LockError when neither registry nor archive gives it.
    """
    base = context.base
    if base.image is None and base.bootstrap is None and base.formats and "docker" not in base.formats:
        return ResolvedBase("machine", request_of(base, "machine"), (), "", {})
    fault = "it names no registry image" if base.image is None else _registry_fault(base.image, context)
    if fault is None:
        return _resolve_registry(context)
    if base.bootstrap is None:
        raise LockError(f"base {base.base} cannot be had: {fault}, and there is no 'bootstrap' for it")
    ecosystem = system(base)
    items = ((*ecosystem.essential, *base.bootstrap.include),)
    try:
        pins, _ = ecosystem.resolve(Request("base", "base", items), context)
        status = ecosystem.status(pins, context)
    except LockError as error:
        raise type(error)(
            f"base {base.base} cannot be had: {fault}; nor can it be made from packages: {error.message}",
            hint=error.hint,
        ) from error
    return ResolvedBase("bootstrap", request_of(base, "bootstrap"), tuple(pins), status, {}, fault)


def request_of(base: Base, kind: BaseKind) -> Any:
    """What the section of a base asks for that is made in one of the three ways; None when it is not made so."""
    if kind == "registry":
        return {"image": base.image} if base.image is not None else None
    if kind == "bootstrap":
        return {"bootstrap": base.bootstrap.model_dump(mode="json")} if base.bootstrap is not None else None
    return {} if base.image is None and base.bootstrap is None else None


def strange(base: Base, kind: BaseKind, section: Section) -> Iterator[str]:
    """What a locked base that is no system of packages says beyond its manifest, a line each."""
    if kind == "machine":
        if section.pins or section.extra:
            yield "the builder brings this base, so the lock knows nothing of it"
        return
    repository, _, digest = str(base.image).partition("@")
    for pin in section.pins:
        if (pin.registry, pin.version, pin.file) != ("docker", digest, f"{repository}@sha256:{pin.sha256}"):
            yield f"{pin.name}: {pin.file} {pin.version} of '{pin.registry}' is no part of {base.image}"
    packages = section.extra.get("packages")
    if section.extra.keys() != {"packages"} or not isinstance(packages, Mapping):
        yield "its 'extra' says more, or less, than which packages the image brings"
    elif not all(isinstance(one, str) and one.isprintable() for pair in packages.items() for one in pair):
        yield "its packages are no names and versions"
    if section.pin("manifest") is None:
        yield "no pin is the image's manifest"


def _skopeo(image: str, context: Context) -> tuple[str, list[str]]:
    """Reference and options under which skopeo finds `image` on this host.

    A mirror's user and password go to a file: a command line is everybody's to read.
    """
    for mirror in context.host.source("docker"):
        parts = urlsplit(mirror)
        plain = ["--tls-verify=false"] if parts.scheme == "http" else []
        host = parts.netloc.rpartition("@")[2]
        if parts.username:
            word = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            auth = {"auths": {host: {"auth": base64.b64encode(word.encode()).decode()}}}
            path = context.work / "registry-auth.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps(auth), encoding="utf-8")
            plain += ["--authfile", str(path)]
        return f"docker://{host}{parts.path.rstrip('/')}/{image}", plain
    return f"docker://{image}", []


def _registry_fault(image: str, context: Context) -> str | None:
    reference, options = _skopeo(image, context)
    try:
        run(["skopeo", "inspect", "--raw", *options, reference], timeout=60)
    except ProgramError as error:
        reason = error.output.strip().splitlines()[-1:] or [error.message]
        return f"{image}: {said_by_skopeo(reason[0])}"
    return None


def said_by_skopeo(line: str) -> str:
    """What a line of skopeo's log says, without the reference that it repeats."""
    found = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
    return (found[1].replace('\\"', '"') if found else line).rpartition('": ')[2]


def _resolve_registry(context: Context) -> ResolvedBase:
    base = context.base
    assert base.image is not None  # noqa: S101 - for the type checker
    folder = context.work / "registry-base"
    layout, _ = copy_from_registry(base, folder, context)
    manifest, pins = _layout_pins(base, layout)
    ecosystem = system(base)
    status = ecosystem.image_status(_files_of_layers(layout, manifest, ecosystem.status_files), context)
    extra = {"packages": dict(ecosystem.packages(status))}
    return ResolvedBase("registry", request_of(base, "registry"), tuple(pins), status, extra)


def copy_from_registry(base: Base, folder: Path, context: Context) -> tuple[Path, str]:
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
    manifest = json.loads(blob(layout, descriptor["digest"]).read_bytes())
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


def _files_of_layers(layout: Path, manifest: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, bytes]:
    """Those of the files `names` that the image has, as its last layers leave them.

    https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md (whiteouts)
    """
    found: dict[str, bytes] = {}
    for layer in manifest["layers"]:
        path = blob(layout, layer["digest"])
        opener: Any = gzip.open if layer["mediaType"].endswith("gzip") else open
        with opener(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if name in names and (file := tar.extractfile(member)) is not None:
                    found[name] = file.read()
                elif (gone := name.replace("/.wh.", "/")) != name:
                    found.pop(gone, None)
    return found


def layout_folder(base: Base, section: Section, root: Path) -> Path:
    """Where the store at `root` has the base of a lock, or will have it; named by what determines it."""
    name = digest_of([base.model_dump(mode="json"), [pin.sha256 for pin in section.pins], section.epoch])
    return root / "bases" / name


def blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def locked_layers(base: Base, section: Section, root: Path) -> tuple[str, ...]:
    """Digests of the uncompressed layers of a registry's image, the lowest first, by the base in the store at `root`.

    Raises LockError when that is not the locked one, or not there.
    """
    layout = layout_folder(base, section, root)
    pins = {pin.name: pin.sha256 for pin in section.pins}
    try:
        config = {name: blob(layout, f"sha256:{pins[name]}").read_bytes() for name in ("manifest", "config")}
        wrong = [name for name, data in config.items() if hashlib.sha256(data).hexdigest() != pins[name]]
        if wrong:
            raise LockError(f"base {base.base}: {wrong[0]} in the store is not the locked one")
        return tuple(map(str, json.loads(config["config"])["rootfs"]["diff_ids"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise LockError(
            f"base {base.base}: its image is not in the store, or says nothing of its layers: {error}",
            hint="Fetch it again: invoke fetch",
        ) from error
