"""winget's manifests: the tree they lie in, how versions are ordered, and which installer of a package fits a base.

A tree is laid out as winget's community repository is: manifests/LETTER/PUBLISHER/NAME/VERSION/ID.installer.yaml.
https://github.com/microsoft/winget-pkgs/blob/master/doc/manifest/README.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import total_ordering
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from dsvm.host import Host, redact
from dsvm.model import Base, LockError, Sha256, StoreError

# The community repository: its files, and what its folders hold, which GitHub tells by itself
PUBLIC = "https://raw.githubusercontent.com/microsoft/winget-pkgs/master"
PUBLIC_FOLDERS = "https://api.github.com/repos/microsoft/winget-pkgs/git/trees/master:"
HINT = "Where winget's manifests lie can be said in DSVM's configuration: sources: {winget: URL}"

ARCHITECTURES = {"amd64": "x64", "arm64": "arm64"}
# Builds of the releases that MinimumOSVersion is compared with:
# https://learn.microsoft.com/windows/release-health/windows-server-release-info
BUILDS = {"2016": "10.0.14393", "2019": "10.0.17763", "2022": "10.0.20348", "2025": "10.0.26100"}

# What winget adds when a manifest says nothing: GetDefaultKnownSwitches in
# https://github.com/microsoft/winget-cli/blob/master/src/AppInstallerCommonCore/Manifest/ManifestCommon.cpp
_MSI = {"Silent": "/quiet /norestart", "Log": '/log "<LOGPATH>"'}
SWITCHES: Mapping[str, Mapping[str, str]] = {
    "msi": _MSI,
    "wix": _MSI,
    "burn": _MSI,
    "inno": {"Silent": "/SP- /VERYSILENT /SUPPRESSMSGBOXES /NORESTART", "Log": '/LOG="<LOGPATH>"'},
    "nullsoft": {"Silent": "/S"},
}
# Types that are run; a zip is unpacked and holds one of them or programs that need no installing
RUN = (*SWITCHES, "exe")
TYPES = (*RUN, "portable", "zip")
# Exit codes of Windows Installer for what is done once the system has started anew:
# https://learn.microsoft.com/windows/win32/msi/error-codes
REBOOT = (1641, 3010)
REBOOT_RESPONSES = ("rebootRequiredToFinish", "rebootInitiated")


# --- versions ----------------------------------------------------------------------------------------------


@total_ordering
class Version:
    """A version in winget's order: by its parts between dots, each a number and the text behind it.

    A part without text is newer than one with: 1.0-rc is before 1.0. Missing parts count as 0, capitals as small.
    https://github.com/microsoft/winget-cli/blob/master/src/AppInstallerSharedLib/Versions.cpp
    """

    def __init__(self, text: str) -> None:
        self.text = text
        trimmed = text.strip()
        digit, dot = re.search(r"\d", trimmed), trimmed.find(".")
        if digit is not None and (dot < 0 or digit.start() < dot):
            trimmed = trimmed[digit.start() :]
        parts = [_part(one) for one in trimmed.split(".")]
        while parts and parts[-1] == _part(""):
            parts.pop()
        self.parts = tuple(parts)

    @property
    def _rank(self) -> int:
        """Before all others, among them, or after them."""
        return (self.parts == (_part("Latest"),)) - (self.parts == (_part("Unknown"),))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __lt__(self, other: Version) -> bool:
        if self._rank != other._rank:
            return self._rank < other._rank
        pairs = zip_longest(self.parts, other.parts, fillvalue=_part(""))
        return next((left < right for left, right in pairs if left != right), False)


def _part(text: str) -> tuple[int, bool, str]:
    """The number of a part, whether that is all, and the rest; a number beyond 64 bits is text."""
    text = text.strip()
    digits = re.match(r"\d*", text, re.ASCII)
    number = digits[0] if digits else ""
    if number and int(number) >= 1 << 64:
        number = ""
    rest = text[len(number) :].casefold()
    return int(number or 0), not rest, rest


# --- the tree ----------------------------------------------------------------------------------------------


class _Links(HTMLParser):
    """The entries of a folder, as web servers list them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href") if tag == "a" else None
        name = unquote((href or "").split("?")[0].split("#")[0]).removeprefix("./").rstrip("/")
        if name and "/" not in name and name != "..":
            self.names.append(name)


@dataclass(frozen=True)
class Tree:
    """The manifests where this host finds them: a folder (file:), a web server that lists folders, or GitHub."""

    host: Host
    files: str
    folders: str

    @classmethod
    def of(cls, host: Host) -> Tree:
        own = host.source("winget")
        return cls(host, f"{own[0]}/", f"{own[0]}/") if own else cls(host, f"{PUBLIC}/", PUBLIC_FOLDERS)

    def names(self, *place: str) -> list[str] | None:
        """What lies in a folder, or None when there is no such folder. Raises StoreError when nobody answers."""
        if (local := _local(self.folders)) is not None:
            path = local.joinpath("manifests", *place)
            with _faults(path):
                return sorted(one.name for one in path.iterdir()) if path.is_dir() else None
        end = "/" if self.folders.endswith("/") else ""
        text = self._get(f"{self.folders}{_path(place)}{end}")
        return None if text is None else _entries(text)

    def read(self, *place: str) -> str | None:
        """Text of a file, or None when there is none. Raises StoreError when nobody answers."""
        if (local := _local(self.files)) is not None:
            path = local.joinpath("manifests", *place)
            with _faults(path):
                return path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else None
        return self._get(f"{self.files}{_path(place)}")

    def _get(self, url: str) -> str | None:
        answer = self.host.get(url)
        if answer.status_code in (404, 410):
            return None
        if answer.status_code >= 400:
            raise StoreError(f"{redact(url)}: HTTP {answer.status_code} {answer.reason_phrase}".rstrip(), hint=HINT)
        return answer.content.decode("utf-8-sig", errors="replace")


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", hint=HINT) from error


def _local(root: str) -> Path | None:
    return Path(unquote(urlsplit(root).path)) if root.startswith("file:") else None


def _path(place: Sequence[str]) -> str:
    return "/".join(quote(one, safe="+") for one in ("manifests", *place))


def _entries(text: str) -> list[str]:
    """Names in the list of a folder: GitHub's JSON, that of web servers, or a page with links."""
    try:
        listed = json.loads(text)
    except ValueError:
        links = _Links()
        links.feed(text)
        return sorted(set(links.names))
    rows = listed.get("tree", []) if isinstance(listed, dict) else listed
    found = {row.get("path") or row.get("name") for row in rows if isinstance(row, dict)}
    return sorted(str(one).rstrip("/") for one in found if one)


def folder(package: str) -> tuple[str, ...]:
    """Where the versions of a package lie, below manifests/."""
    return (package[0].lower(), *package.split("."))


# --- manifests ---------------------------------------------------------------------------------------------


class _Lenient(BaseModel):
    """What we read of somebody else's file; the rest of it is none of our business."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


def inside(path: str) -> str:
    """The path of a file in a zip as Windows writes it. Raises ValueError when it leads out of it."""
    parts = re.split(r"[\\/]", path)
    if "" in parts or any(part.strip(" .") == "" for part in parts) or ":" in path:
        raise ValueError(f"'{path}' is no file inside the archive")
    return "\\".join(parts)


class NestedFile(_Lenient):
    """A program, or an installer, inside a zip."""

    RelativeFilePath: Annotated[str, AfterValidator(inside)]
    PortableCommandAlias: Annotated[str, StringConstraints(pattern=r"^[\w.+-]+$", max_length=40)] | None = None


class ReturnCode(_Lenient):
    InstallerReturnCode: int
    ReturnResponse: str = ""


class PackageDependency(_Lenient):
    PackageIdentifier: str
    MinimumVersion: str = ""


class Needs(_Lenient):
    PackageDependencies: tuple[PackageDependency, ...] = ()
    WindowsFeatures: tuple[str, ...] = ()


class Installer(_Lenient):
    """One way to install a package: https://aka.ms/winget-manifest.installer.1.10.0.schema.json"""

    Architecture: str
    InstallerType: str = ""
    NestedInstallerType: str = ""
    NestedInstallerFiles: tuple[NestedFile, ...] = ()
    Scope: str = ""
    InstallerLocale: str = ""
    InstallerUrl: str = ""
    InstallerSha256: Sha256 | None = None
    InstallerSwitches: dict[str, str] = Field(default_factory=dict)
    InstallerSuccessCodes: tuple[int, ...] = ()
    ExpectedReturnCodes: tuple[ReturnCode, ...] = ()
    MinimumOSVersion: str = ""
    UnsupportedOSArchitectures: tuple[str, ...] = ()
    Commands: tuple[str, ...] = ()
    Dependencies: Needs = Needs()

    @field_validator("InstallerSha256", mode="before")
    @classmethod
    def _small_letters(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("InstallerSwitches", mode="before")
    @classmethod
    def _without_gaps(cls, value: object) -> object:
        return {key: one for key, one in value.items() if one} if isinstance(value, dict) else value

    @property
    def kind(self) -> str:
        """The type of what is run in the end: of a zip, what is inside."""
        return self.NestedInstallerType if self.InstallerType == "zip" else self.InstallerType

    @property
    def reboot_codes(self) -> tuple[int, ...]:
        said = {one.InstallerReturnCode for one in self.ExpectedReturnCodes if one.ReturnResponse in REBOOT_RESPONSES}
        return tuple(sorted({*REBOOT, *said}))

    def about(self) -> str:
        """In a few words, for people."""
        nested = f" of {self.NestedInstallerType}" if self.NestedInstallerType else ""
        return " ".join(
            filter(None, (self.Architecture, self.InstallerType + nested, self.Scope, self.InstallerLocale))
        )


class Manifest(_Lenient):
    PackageIdentifier: str
    PackageVersion: str
    Installers: tuple[Installer, ...] = Field(min_length=1)


def parse(text: str, where: str) -> Manifest:
    """An installer manifest, with what all installers share written into each.

    Every scalar is text, as in winget: version 1.10 is not 1.1. Raises LockError for what is no manifest.
    """
    try:
        root = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes nothing but text, lists and tables
        if not isinstance(root, dict) or not isinstance(root.get("Installers"), list):
            raise LockError(f"{where}: no manifest of an installer")
        installers = [_with_shared(root, one) for one in root["Installers"]]
        return Manifest.model_validate({**root, "Installers": installers})
    except yaml.YAMLError as error:
        raise LockError(f"{where}: not valid YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(one) for one in first["loc"])
        raise LockError(f"{where}: {at}: {first['msg'].removeprefix('Value error, ')}") from error


def _with_shared(root: Mapping[str, Any], installer: object) -> object:
    """An installer with the keys of the root that it has not itself; switches are taken one by one."""
    if not isinstance(installer, dict):
        return installer
    shared = {key: value for key, value in root.items() if key != "Installers"}
    both = [one.get("InstallerSwitches") for one in (root, installer)]
    switches = {key: value for one in both if isinstance(one, dict) for key, value in one.items()}
    return {**shared, **installer, "InstallerSwitches": switches}


def read(tree: Tree, package: str, version: str) -> Manifest | None:
    """The manifest of one version, or None when its folder holds none (it may hold packages further down)."""
    place = (*folder(package), version)
    for name in (f"{package}.installer.yaml", f"{package}.yaml"):
        text = tree.read(*place, name)
        if text is None:
            continue
        manifest = parse(text, f"{package} {version}")
        if (manifest.PackageIdentifier, manifest.PackageVersion) != (package, version):
            said = f"{manifest.PackageIdentifier} {manifest.PackageVersion}"
            raise LockError(f"the manifest of {package} {version} says that it is {said}")
        return manifest
    return None


def newest(tree: Tree, package: str, wanted: str) -> Manifest:
    """The manifest of the newest version that fits `wanted`: a version, one that ends in '.*', or '' for any.

    Raises LockError with what is near or newest when there is none.
    """
    exact = wanted if wanted and not wanted.endswith(".*") else ""
    if exact and (manifest := read(tree, package, exact)) is not None:
        return manifest
    names = tree.names(*folder(package))
    if names is None:
        raise LockError(f"winget knows no package '{package}'{_near(tree, package)}", hint=HINT)
    versions = sorted(names, key=Version, reverse=True)
    for version in versions:
        if fits(version, wanted) and version != exact and (manifest := read(tree, package, version)) is not None:
            return manifest
    listed = ", ".join(versions[:5]) + (" and older ones" if versions[5:] else "")
    what = f"no version {wanted}" if wanted else "no version"
    raise LockError(f"winget package '{package}' has {what}; in its folder are {listed or 'none'}")


def fits(version: str, wanted: str) -> bool:
    """Whether a version is `wanted`: that one, one that begins as 24.* does, or any for ''."""
    if wanted.endswith(".*"):
        return f"{version}.".startswith(wanted.removesuffix("*"))
    return not wanted or Version(version) == Version(wanted)


def _near(tree: Tree, package: str) -> str:
    """ " (did you mean 'x'?)", by what lies in the folders where the parts of an id would, or nothing."""
    from difflib import get_close_matches

    found: list[str] = []
    for part in package.split("."):
        known = tree.names(package[0].lower(), *found) or []
        by_small = {name.lower(): name for name in known}
        close = [part] if part in known else get_close_matches(part.lower(), by_small, n=1, cutoff=0.5)
        if not close:
            return ""
        found.append(part if part in known else by_small[close[0]])
    return f" (did you mean '{'.'.join(found)}'?)"


# --- the installer that fits -------------------------------------------------------------------------------


def pick(manifest: Manifest, base: Base, *, scope: str, architecture: str | None) -> Installer:
    """The installer for a base: for all its users unless `scope` is 'user', of its architecture or for any.

    Among several: one that says its scope, without a language or else English, the first of them.
    Raises LockError that names what there is instead.
    """
    wanted = architecture or ARCHITECTURES[base.arch]
    fitting = [one for one in manifest.Installers if _suits(one, base, wanted, scope)]
    if not fitting:
        there = ", ".join(dict.fromkeys(one.about() for one in manifest.Installers))
        whom = "one user" if scope == "user" else "all users"
        hint = "'architecture' and 'scope' of the source can ask for another one"
        raise LockError(
            f"{manifest.PackageIdentifier} {manifest.PackageVersion} has no installer for {wanted} and {whom} "
            f"that works on {base.summary}; it has {there}",
            hint=hint if any(one.kind in TYPES for one in manifest.Installers) else "",
        )
    return min(fitting, key=lambda one: (not one.Scope, _language(one), one.Architecture != wanted))


def _suits(one: Installer, base: Base, architecture: str, scope: str) -> bool:
    build = BUILDS.get(base.release, "")
    return (
        one.Architecture in (architecture, "neutral")
        and architecture not in one.UnsupportedOSArchitectures
        and one.Scope in ((scope,) if scope == "user" else (scope, ""))
        and one.InstallerType in TYPES
        and one.kind in (*RUN, "portable")
        and not (one.MinimumOSVersion and build and Version(build) < Version(one.MinimumOSVersion))
    )


def _language(one: Installer) -> int:
    language = one.InstallerLocale.lower()
    return 0 if not language else 1 if language.split("-")[0] == "en" else 2


def arguments(kind: str, said: Mapping[str, str], *, silent: str | None, switches: str) -> str | None:
    """The command line that installs without questions, or None when nobody says which it is.

    `said` are the manifest's InstallerSwitches, `silent` takes the place of its silent one, `switches` come last.
    <LOGPATH> stands for a file that the installer logs to.
    """
    if kind == "portable":
        return ""
    known = {**SWITCHES.get(kind, {}), **said}
    quiet = silent if silent is not None else known.get("Silent") or known.get("SilentWithProgress")
    if quiet is None:
        return None
    return " ".join(filter(None, (quiet, known.get("Log"), known.get("Custom"), switches)))
