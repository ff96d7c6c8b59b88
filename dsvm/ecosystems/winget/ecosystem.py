"""Windows programs: packages by winget's manifests and installers with a URL of their own, run silently and offline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from dsvm.ecosystems.protocol import Asked, Context, Offered, Request, RunInImage
from dsvm.ecosystems.winget.manifests import (
    HINT,
    REBOOT,
    Installer,
    Manifest,
    Tree,
    Version,
    arguments,
    fits,
    inside,
    newest,
    pick,
)
from dsvm.model import AccessError, Base, DsvmError, Line, LockError, Model, Pin, Section, Sha256, Step, StoreError

# https://aka.ms/winget-manifest.installer.1.10.0.schema.json: PackageIdentifier and PackageVersion
_WORD = r"[^.\s\\/:*?\"<>|@\x00-\x1f]{1,32}"
ID = rf"{_WORD}(\.{_WORD}){{1,7}}"
VERSION = r"[^\s\\/:*?\"<>|@\x00-\x1f]+(\.\*)?"
# A folder of Windows, for the PATH; {version} is the locked one
WindowsFolder = Annotated[
    str, StringConstraints(pattern=r"^(%ProgramFiles%|%ProgramData%|[A-Z]:)(\\[^\\/:*?\"<>|;\x00-\x1f]+)+$")
]
SCHEMES = ("http", "https", "file")
# What an image has installed is written down here, one file each
STAMPS = r"C:\ProgramData\dsvm\installed"


class Package(Model):
    """A package of winget's repository."""

    package: Annotated[str, StringConstraints(pattern=rf"^{ID}$")] = Field(description="its id, Git.Git")
    version: Annotated[str, StringConstraints(pattern=rf"^{VERSION}$")] | None = Field(
        None, description="a version, or 24.* for the newest that begins so; the newest when it is not given"
    )
    scope: Literal["machine", "user"] = Field(
        "machine", description="'user' takes an installer that installs for one user only, who then is the builder"
    )
    architecture: Literal["x64", "x86", "arm64"] | None = Field(None, description="when it is not the base's")
    silent: Line | None = Field(None, description="switches that install without questions, in place of the manifest's")
    switches: Line = Field("", description="more switches, after the others")
    path: tuple[WindowsFolder, ...] = Field((), description="folders for the PATH that the installer does not add")


class Direct(Model):
    """An installer with a fixed URL."""

    installer: Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\s'\"]+$")] = Field(description="its URL")
    version: Annotated[str, StringConstraints(pattern=r"^[^\s]+$")]
    type: Literal["msi", "wix", "inno", "nullsoft", "burn", "exe", "zip", "portable"]
    sha256: Sha256 | None = Field(None, description="taken from the first download when it is not given")
    silent: Line | None = Field(None, description="switches that install without questions; by its type when there are")
    switches: Line = Field("", description="more switches, after the others")
    path: tuple[WindowsFolder, ...] = Field((), description="folders for the PATH that the installer does not add")
    files: tuple[Annotated[str, AfterValidator(inside)], ...] = Field(
        (), description="programs in a zip, whose folders come to the PATH"
    )

    @model_validator(mode="after")
    def _complete(self) -> Direct:
        if self.type == "exe" and self.silent is None:
            raise ValueError("'silent' is missing: nobody knows how an installer of type exe is run without questions")
        if (self.type == "zip") != bool(self.files):
            raise ValueError("'files' names the programs in a zip, and goes with type zip")
        if not re.fullmatch(r"[\w.+%~-]+", self.name, re.ASCII):
            raise ValueError(f"'{self.installer}' names no file: its last part is '{self.name}'")
        return self

    @property
    def name(self) -> str:
        """Last part of the URL without its query: what people call the file."""
        return PurePosixPath(urlsplit(self.installer).path).name


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "name"
    keys = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    return "installer" if "installer" in keys else "package"


Item = Annotated[
    Annotated[str, StringConstraints(pattern=rf"^{ID}(@{VERSION})?$"), Tag("name")]
    | Annotated[Package, Tag("package")]
    | Annotated[Direct, Tag("installer")],
    Discriminator(_kind),
]


class Inside(Model):
    """A program in a zip."""

    path: Line
    alias: Line


class How(Model):
    """How Install-Winget.ps1 installs one file."""

    type: Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]
    inside: Annotated[str, StringConstraints(pattern=r"^[a-z]*$")]
    arguments: Line
    success: tuple[int, ...]
    reboot: tuple[int, ...]
    files: tuple[Inside, ...]
    alias: Annotated[str, StringConstraints(pattern=r"^[\w.+%-]+$", max_length=100)]
    path: tuple[WindowsFolder, ...]
    file: Annotated[str, StringConstraints(pattern=r"^[^\s\\/:*?\"<>|\x00-\x1f]+$")]


class Extra(Model):
    """What installing needs to know beside its pins: how each file is run, and in which order."""

    installers: dict[str, How]
    order: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """What is going to be downloaded, and how it is run; `needs` are ids of packages that come before it."""

    name: str
    version: str
    url: str
    sha256: str | None
    how: Mapping[str, Any]
    needs: tuple[str, ...] = ()


class Winget:
    """Windows packages, ID or ID@VERSION, by winget's manifests, or installers with a fixed URL"""

    name = "winget"
    placement: Literal["system"] = "system"
    request_type = Annotated[tuple[Item, ...], Field(min_length=1)]
    runtimes = ()
    builders: Mapping[str, Any] = {}
    extra_type = Extra

    def package(self, request: Sequence[Any]) -> str:
        return _name(_whole(request[0]))

    def probe(self, request: Sequence[Any], index: str | None, context: Context) -> str | None:
        try:
            chosen = _choose([_whole(one) for one in request], context)
        except AccessError:
            raise
        except (LockError, StoreError) as error:
            return error.message
        faults = (context.host.unreachable(one.url) for one in chosen)
        return next((fault for fault in faults if fault), None)

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        if request.repositories:
            named = ", ".join(request.repositories)
            raise LockError(f"{request.section}: 'repository' ({named}) is not for winget packages", hint=HINT)
        try:
            chosen = _choose([_whole(one) for item in request.items for one in item], context)
        except AccessError:
            raise
        except StoreError as error:
            raise LockError(f"winget's manifests cannot be read: {error.message}", hint=HINT) from error
        with ThreadPoolExecutor(4) as pool:
            pins = list(pool.map(lambda one: _pin(one, context), chosen))
        how = {one.name: How(**one.how, file=file_name(pin)) for one, pin in zip(chosen, pins, strict=True)}
        extra = Extra(installers=how, order=tuple(how))
        return sorted(pins, key=lambda pin: pin.name), extra.model_dump(mode="json")

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        """Which packages others need, and how they are run, winget's manifests say: a lock's reviewer sees that."""
        items = {_name(one).lower(): one for one in (_whole(one) for item in asked.request.items for one in item)}
        pins = {pin.name: pin for pin in section.pins}
        extra = section.extra
        if not sorted(pins) == sorted(extra["order"]) == sorted(extra["installers"]):
            yield "its 'installers', or their 'order', are of other packages than its pins"
            return
        for pin in section.pins:
            item = items.get(pin.name.lower())
            if pin.registry != "url" or (not isinstance(item, Direct) and urlsplit(pin.file).scheme not in SCHEMES):
                yield f"{pin.name}: {pin.file} of '{pin.registry}' is no URL of an installer"
            if isinstance(item, Direct):
                how = How(**_direct(item).how, file=file_name(pin)).model_dump(mode="json")
                if (pin.file, pin.version) != (item.installer, item.version) or extra["installers"][pin.name] != how:
                    yield f"{pin.name}: its manifest says another URL or version, or that it is run otherwise"
                if item.sha256 not in (None, pin.sha256):
                    yield f"{pin.name}: its manifest says another SHA-256"
            elif extra["installers"][pin.name]["file"] != file_name(pin):
                yield f"{pin.name}: {extra['installers'][pin.name]['file']} is not its file"
        lacking = items.keys() - {name.lower() for name in pins}
        yield from (f"{_name(items[name])} is asked for, and no pin is it" for name in sorted(lacking))

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """Nothing is solved against the packages of a base: it brings none."""
        return ""

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return [pin.file]

    def file_name(self, pin: Pin) -> str:
        return file_name(pin)

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        return Step(script="Install-Winget.ps1", args=(section.id,), sections=(section.id,), helpers=("Common.ps1",))

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """What Install-Winget.ps1 wrote down."""
        script = f"ConvertTo-Json @(Get-ChildItem '{STAMPS}\\*.json' | Get-Content -Raw | ConvertFrom-Json)"
        rows = json.loads(run(["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", script]))
        return {row["name"]: row["version"] for row in rows}

    def order(self, version: str) -> Version:
        return Version(version)

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """Of packages; an installer with a URL of its own has no registry."""
        items = {_name(one).lower(): one for one in (_whole(item) for items in asked.request.items for item in items)}
        tree = Tree.of(context.host)

        def ask(pin: Pin) -> Offered:
            item = items.get(pin.name.lower())
            if isinstance(item, Direct):
                return Offered(None, words="its manifest says where it is, and nobody where a newer one would be")
            try:
                latest = newest(tree, pin.name, "").PackageVersion
                wanted = item.version if item is not None else None
                return Offered(latest, newest(tree, pin.name, wanted).PackageVersion if wanted else latest)
            except DsvmError as error:
                return Offered(None, words=error.message)

        with ThreadPoolExecutor(4) as pool:
            return {pin.name: offer for pin, offer in zip(section.pins, pool.map(ask, section.pins), strict=True)}

    def forbids(self, request: Sequence[Any], name: str, version: str) -> str | None:
        for one in map(_whole, request):
            named = isinstance(one, Package) and one.package.lower() == name.lower() and one.version
            if named and not fits(version, named):
                return f"{name}@{named}"
        return None


def file_name(pin: Pin) -> str:
    """Name of an installer's file: Windows runs only what has the right ending, and not every URL has one."""
    ending = PurePosixPath(urlsplit(pin.file).path).suffix.lower()
    ending = ending if ending in (".exe", ".msi", ".zip") else ".exe"
    return pin.name if pin.name.lower().endswith(ending) else f"{pin.name}{ending}"


def _whole(item: str | Package | Direct) -> Package | Direct:
    if not isinstance(item, str):
        return item
    package, _, version = item.partition("@")
    return Package(package=package, version=version or None)


def _name(item: Package | Direct) -> str:
    return item.package if isinstance(item, Package) else item.name


def _choose(items: Sequence[Package | Direct], context: Context) -> list[Chosen]:
    """What is installed for `items`, what they depend on included, each after all that it needs.

    Raises LockError with every package that cannot be had, StoreError when the manifests are out of reach.
    """
    tree = Tree.of(context.host)
    asked: dict[str, Package | Direct] = {}
    faults: list[LockError] = []
    for item in items:
        first = asked.setdefault(_name(item).lower(), item)
        if first != item:
            faults.append(LockError(f"{_name(item)} is asked for twice: as {_said(first)} and as {_said(item)}"))
    found: dict[str, Chosen] = {}
    # who needs which package in which version, at least
    least: list[tuple[str, str, str]] = []
    waiting = [*asked]
    for name in waiting:
        item = asked[name]
        try:
            found[name], needed = _one(item, tree, context.base)
        except LockError as error:
            who = ", ".join(other for other, package, _ in least if package.lower() == name)
            faults.append(LockError(f"{error.message}{f' (needed by {who})' if who else ''}", hint=error.hint))
            continue
        for package, minimum in needed.items():
            least.append((_name(item), package, minimum))
            if package.lower() not in asked:
                asked[package.lower()] = Package(package=package)
                waiting.append(package.lower())
    for who, package, minimum in least:
        there = found.get(package.lower())
        if there is not None and Version(there.version) < Version(minimum):
            faults.append(LockError(f"{who} needs {package} {minimum} or newer, and {there.version} is wanted"))
    if faults:
        hint = next((fault.hint for fault in faults if fault.hint), "")
        raise LockError("\n".join(fault.message for fault in faults), hint=hint)
    try:
        order = [*TopologicalSorter({name: one.needs for name, one in found.items()}).static_order()]
    except CycleError as error:
        raise LockError(f"winget packages need each other: {' -> '.join(error.args[1])}") from error
    return [found[name] for name in order]


def _said(item: Package | Direct) -> str:
    said = item.model_dump(mode="json", exclude_defaults=True)
    return ", ".join(f"{key} {value}" for key, value in said.items())


def _one(item: Package | Direct, tree: Tree, base: Base) -> tuple[Chosen, Mapping[str, str]]:
    """One installer, and the packages that it needs with the oldest version of each that will do."""
    if isinstance(item, Direct):
        return _direct(item), {}
    manifest = newest(tree, item.package, item.version or "")
    installer = pick(manifest, base, scope=item.scope, architecture=item.architecture)
    if installer.Dependencies.WindowsFeatures:
        features = ", ".join(installer.Dependencies.WindowsFeatures)
        raise LockError(f"{item.package} needs features of Windows, which are not switched on here: {features}")
    needed = {one.PackageIdentifier: one.MinimumVersion for one in installer.Dependencies.PackageDependencies}
    chosen = Chosen(
        name=manifest.PackageIdentifier,
        version=manifest.PackageVersion,
        url=installer.InstallerUrl,
        sha256=installer.InstallerSha256,
        how=_how(item, manifest, installer),
        needs=tuple(name.lower() for name in needed),
    )
    if chosen.sha256 is None or urlsplit(chosen.url).scheme not in SCHEMES:
        raise LockError(f"the manifest of {chosen.name} {chosen.version} gives no URL, or no SHA-256, of its installer")
    return chosen, needed


def _how(item: Package, manifest: Manifest, installer: Installer) -> Mapping[str, Any]:
    command = arguments(installer.kind, installer.InstallerSwitches, silent=item.silent, switches=item.switches)
    if command is None:
        raise LockError(
            f"{manifest.PackageIdentifier} {manifest.PackageVersion}: its manifest does not say how its installer "
            f"(type {installer.kind}) is run without questions",
            hint="Say it in the source: silent: SWITCHES",
        )
    nested = installer.NestedInstallerFiles
    if installer.InstallerType == "zip" and not nested:
        raise LockError(f"the manifest of {item.package} {manifest.PackageVersion} does not say what is in its zip")
    files = [{"path": one.RelativeFilePath, "alias": one.PortableCommandAlias or ""} for one in nested]
    # what becomes the name of a file is a word, whatever a manifest says
    alias = next((one for one in installer.Commands if re.fullmatch(r"[\w.+-]{1,40}", one)), None)
    return _description(
        type=installer.InstallerType,
        inside=installer.NestedInstallerType if installer.InstallerType == "zip" else "",
        arguments=command,
        success=(0, *installer.InstallerSuccessCodes),
        reboot=installer.reboot_codes,
        files=files,
        alias=alias or manifest.PackageIdentifier.rsplit(".", 1)[-1].lower(),
        path=[one.replace("{version}", manifest.PackageVersion) for one in item.path],
    )


def _direct(item: Direct) -> Chosen:
    kind = "portable" if item.type == "zip" else item.type
    how = _description(
        type=item.type,
        inside="portable" if item.type == "zip" else "",
        arguments=arguments(kind, {}, silent=item.silent, switches=item.switches) or "",
        success=(0,),
        reboot=REBOOT,
        files=[{"path": one, "alias": ""} for one in item.files],
        alias=PurePosixPath(item.name).stem,
        path=[one.replace("{version}", item.version) for one in item.path],
    )
    return Chosen(name=item.name, version=item.version, url=item.installer, sha256=item.sha256, how=how)


def _description(*, success: Iterable[int], reboot: Iterable[int], **more: Any) -> Mapping[str, Any]:
    """How Install-Winget.ps1 installs one file; exit codes that mean a reboot are a success, too."""
    codes = sorted(set(reboot))
    return {**more, "success": sorted({*success} - {*codes}), "reboot": codes}


def _pin(chosen: Chosen, context: Context) -> Pin:
    """The pin of an installer, which is in the store afterwards: manifests do not say how large it is."""
    try:
        sha256, size = context.store.download(
            [chosen.url], name=f"{chosen.name} {chosen.version}", host=context.host, sha256=chosen.sha256
        )
    except AccessError:
        raise
    except StoreError as error:
        raise LockError(f"{chosen.name} {chosen.version}: {error.message}", hint=error.hint) from error
    return Pin(name=chosen.name, version=chosen.version, file=chosen.url, size=size, sha256=sha256, registry="url")


ECOSYSTEM = Winget()
