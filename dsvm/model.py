"""The words of DSVM as frozen data: manifests in, lock and plan out. No I/O, and nothing of ours imported."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Accelerator = Literal["cpu", "gpu"]
Format = Literal["docker", "qcow2", "vhd", "vmdk", "ami", "azure", "gcp"]
# Those of virtual machines, and of them those whose disk is laid out here
MACHINE_FORMATS: tuple[Format, ...] = ("qcow2", "vhd", "vmdk", "ami", "azure", "gcp")
DISK_FORMATS: tuple[Format, ...] = ("qcow2", "vhd", "vmdk")
Platform = Literal["linux", "windows"]
# What a base is made from: an image of a registry, packages of the distribution's archive, or, for virtual machines
# only, an installed system that the builder brings and the lock knows nothing of
BaseKind = Literal["registry", "bootstrap", "machine"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9.-]*$", max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# One line of printable text: what is shown in tables and labels can break neither.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=500)]
ImagePath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._+@/-]*$", max_length=200)]
CudaVersion = Annotated[str, StringConstraints(pattern=r"^\d{1,2}(\.\d{1,2})?$")]
Driver = Annotated[str, StringConstraints(pattern=r"^\d{3,4}(\.\d+)*$")]


class Model(BaseModel):
    """Frozen and strict: an unknown key is a fault, not a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def digest_of(value: object) -> str:
    """SHA-256, in hex, over the canonical JSON of `value` (keys sorted, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_empty(value: Collection[object]) -> bool:
    return not value


def _is_none(value: object) -> bool:
    return value is None


def only_machines(formats: tuple[Format, ...]) -> bool:
    """Whether what is for `formats` (for all of them when there are none) is in no container image."""
    return bool(formats) and "docker" not in formats


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_small_words(value: object) -> object:
    words = _as_list(value)
    return [word.lower() if isinstance(word, str) else word for word in words] if isinstance(words, list) else words


def _as_text(value: object) -> object:
    return str(value) if type(value) is int else value


# --- manifests ---------------------------------------------------------------------------------------------


class When(Model):
    """A condition on the variant; every key that is given must hold."""

    accelerator: Accelerator | None = None
    base: tuple[Name, ...] = ()
    platform: Platform | None = Field(
        None, exclude_if=_is_none, description="family of the base's operating system: linux, windows"
    )

    _one_base = field_validator("base", mode="before")(_as_list)

    def holds(self, *, accelerator: str, base: Base) -> bool:
        return (
            self.accelerator in (None, accelerator)
            and (not self.base or base.base in self.base)
            and self.platform in (None, base.platform)
        )


class Source(Model):
    """One way to get a tool. The catalog adds one optional field per ecosystem (`apt`, `pypi`, ...)."""

    when: When = When()
    formats: tuple[Format, ...] = Field((), description="only for these formats; all when empty")
    index: Name | None = Field(None, description="named package index, from manifests/indexes.yaml")
    repository: Name | None = Field(
        None, description="repository of system packages beside the base's own, from manifests/repositories"
    )
    cuda: CudaVersion | None = Field(None, description="CUDA version that these packages carry")
    remark: Line = Field("", description="what people should know who get the tool from here")
    driver: Driver | None = Field(None, description="branch of NVIDIA's driver that these packages are, or belong to")
    build: dict[Name, Any] = Field(
        default_factory=dict, description="what only building needs, by ecosystem; not in the image"
    )

    _driver_text = field_validator("driver", mode="before")(_as_text)

    def requests(self) -> dict[str, Any]:
        """What this source asks of each ecosystem, by the ecosystem's name."""
        extra = [name for name in type(self).model_fields if name not in Source.model_fields]
        return {name: value for name in extra if (value := getattr(self, name)) is not None}


class VersionCheck(Model):
    """Run `run`, find a version in what it prints, compare it with the locked version of `package`."""

    run: str
    package: str | None = Field(None, description="locked package to compare with; the tool's first by default")
    parts: int | None = Field(None, ge=1, description="compare only so many release numbers")


class Check(Model):
    """One assertion on a built image: exactly one of `version`, `run`, `script`."""

    when: When = When()
    version: VersionCheck | None = Field(None, description="command that prints the tool's version")
    run: str | None = Field(None, description="command that must succeed")
    expect: str | None = Field(None, description="regular expression that the output of `run` must match")
    script: str | None = Field(
        None, description='checks/NAME.{py,R,jl,sh} in the manifests; its last words are JSON with "ok": true'
    )
    timeout: int = Field(300, ge=1, le=3600, description="seconds")
    alone: bool = Field(False, description="must not run beside other checks")

    @field_validator("version", mode="before")
    @classmethod
    def _short_version(cls, value: object) -> object:
        return {"run": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in ("version", "run", "script") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a check has exactly one of 'version', 'run' and 'script'")
        if self.expect is not None and self.run is None:
            raise ValueError("'expect' goes with 'run'")
        if self.script is not None:
            path = PurePosixPath(self.script)
            if path.is_absolute() or ".." in path.parts or path.suffix not in (".py", ".R", ".jl", ".sh"):
                raise ValueError("'script' is a .py, .R, .jl or .sh file inside the manifests folder")
        return self

    def holds(self, *, accelerator: str, base: Base) -> bool:
        """Whether it can be made on an image: `when` says so, and a shell script needs a system with a shell."""
        shell = self.script is not None and self.script.endswith(".sh")
        return self.when.holds(accelerator=accelerator, base=base) and not (shell and base.platform == "windows")


class Kernel(Model):
    """A Jupyter kernel that a tool brings."""

    name: Name
    display: Line = Field(description="what users see in the launcher")
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9+#.-]*$")] = "python"
    argv: tuple[str, ...] = Field((), description="command line; an ipykernel of the tool's env when empty")


class Service(Model):
    """A program that a started image serves on a port, never without a token."""

    run: tuple[str, ...] = Field(min_length=1, description="command line, without secrets")
    port: int = Field(ge=1024, le=65535)
    token_env: str = Field(pattern=r"^[A-Z_]+$", description="environment variable through which it takes the token")
    health: str = Field("/", pattern=r"^/[!-~]*$", description="path that answers 2xx or 3xx without a login")
    login: Literal["token", "password-form", "user-form"] = Field(
        "token",
        description="how a client proves that it knows the token: a header, code-server's form, or RStudio's, which "
        "asks for the image's user too",
    )
    protected: str = Field(
        "/", pattern=r"^/[!-~]*$", description="path that a client reaches only with the right token"
    )
    env: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z_]+$")], Line] = Field(default_factory=dict)


class File(Model):
    """A file that a tool puts into the image: `text` itself, or `source`, a file in the manifests folder."""

    text: str | None = None
    source: str | None = None
    mode: Annotated[str, StringConstraints(pattern=r"^0[0-7]{3}$")] = "0644"

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.text is None) == (self.source is None):
            raise ValueError("a file has exactly one of 'text' and 'source'")
        if self.source is not None and (self.source.startswith("/") or ".." in PurePosixPath(self.source).parts):
            raise ValueError("'source' is a file inside the manifests folder")
        return self


class Tool(Model):
    """Something an image offers its users."""

    tool: Name
    summary: Line
    homepage: Line
    license: Line = Field(description="SPDX expression")
    group: Name
    env: Name = Field("base", description="Python environment that its pypi packages go to: /opt/envs/ENV")
    sources: tuple[Source, ...] = Field(min_length=1, description="ways to get it, the preferred one first")
    commands: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]+$")], ...] = Field(
        (), description="commands that users find on PATH"
    )
    kernel: Kernel | None = None
    service: Service | None = None
    files: dict[ImagePath, File] = Field(default_factory=dict)
    environment: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")], Line] = Field(
        default_factory=dict, description="environment variables of the image"
    )
    requires: tuple[Name, ...] = Field((), description="tools that must be in the same image")
    formats: tuple[Format, ...] = Field((), description="only for these formats; all when empty")
    checks: tuple[Check, ...] = ()

    @model_validator(mode="after")
    def _has_working_check(self) -> Self:
        if not any(check.version is not None for check in self.checks):
            raise ValueError("no 'version' check: nothing proves that the locked version is what is installed")
        if not any(check.version is None for check in self.checks):
            raise ValueError("no working check: add a 'run' or 'script' check that does the tool's work")
        return self


class AzureImage(Model):
    """A vendor's image in Azure's marketplace: `az vm image list --publisher PUBLISHER --all`."""

    publisher: Line
    offer: Line
    sku: Line


class AmazonImage(Model):
    """A vendor's image in AWS, the newest one of an owner's whose name fits."""

    owner: Annotated[str, StringConstraints(pattern=r"^(\d{12}|amazon|aws-marketplace)$")]
    name: Line = Field(description="in which * stands for any characters")
    device: Annotated[str, StringConstraints(pattern=r"^/dev/[a-z0-9]+$")] = Field(
        "/dev/xvda", description="its root device"
    )
    user: Name = Field("ec2-user", description="whom its cloud-init lets in")


class GoogleImage(Model):
    """A vendor's image in Google Cloud, the newest one of a family."""

    project: Name
    family: Name


class CloudImages(Model):
    """What virtual machines of a base start from in the clouds, by format."""

    azure: AzureImage | None = None
    ami: AmazonImage | None = None
    gcp: GoogleImage | None = None


class Base(Model):
    """The operating system an image starts from."""

    base: Name
    summary: Line
    os: Name = Field(description="ID of os-release")
    release: Line = Field(description="VERSION_ID of os-release")
    arch: Literal["amd64", "arm64"] = "amd64"
    glibc: str = Field(
        "", pattern=r"^(\d+\.\d+)?$", description="wheels for a newer glibc are passed over; empty where there is none"
    )
    python: str = Field(
        "", pattern=r"^(\d+\.\d+)?$", description="version of its 'python' runtime; empty where there is none"
    )
    image: Line | None = Field(None, description="registry image, REPOSITORY@sha256:DIGEST")
    bootstrap: Bootstrap | None = Field(None, description="how to make it from the distribution's archive")
    ecosystem: Name = Field("apt", description="ecosystem of its system packages")
    system: Any = Field(None, description="system packages of every image, as its ecosystem takes them")
    machine: Any = Field(
        None,
        exclude=True,  # containers have nothing of it, and their digests do not move with it
        description="system packages that only a virtual machine needs: kernel, boot loader, services",
    )
    cloud: CloudImages = Field(
        CloudImages(),
        exclude=True,  # another image of the vendor's is no other base: digests do not move with it
        description="the vendor's images that machines start from in the clouds",
    )
    runtimes: dict[Name, Any] = Field(default_factory=dict, description="system packages of a language runtime")
    compilers: dict[Name, Any] = Field(
        default_factory=dict,
        exclude_if=_is_empty,
        description="what compiling for a runtime needs beside it; not in the image",
    )
    # These are left out of JSON while they are empty: what never used them keeps its digests.
    repositories: tuple[Name, ...] = Field(
        (),
        exclude_if=_is_empty,
        description="repositories that its system packages and runtimes may come from beside its own archive",
    )
    ecosystems: tuple[Name, ...] = Field(
        (), exclude_if=_is_empty, description="ecosystems that work on it; all when empty"
    )
    formats: tuple[Format, ...] = Field(
        (), exclude_if=_is_empty, description="formats that it can come out as; all when empty"
    )

    @property
    def platform(self) -> Platform:
        return "windows" if self.os == "windows" else "linux"

    @model_validator(mode="after")
    def _complete_runtimes(self) -> Self:
        complete = self.python and (self.glibc or self.platform == "windows")
        if self.runtimes.get("python") is not None and not complete:
            raise ValueError("a base with the runtime 'python' says its version, 'python', and its 'glibc'")
        return self


class Bootstrap(Model):
    """The distribution's archive: what system packages come from, and a base that no registry gives is made of."""

    suites: tuple[Line, ...] = Field(
        min_length=1, description="archive/suite, for example debian/bookworm; for dnf archive/folder with repodata"
    )
    components: tuple[Name, ...] = ("main",)
    keyring: ImagePath | None = Field(
        None, exclude_if=_is_none, description="file of this machine with the keys that sign the archive"
    )
    key: Key | None = Field(
        None, exclude_if=_is_none, description="instead of 'keyring': the key that signs the archive, to be fetched"
    )
    include: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")], ...] = Field(
        (), description="packages beyond the essential ones"
    )

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.keyring is None) == (self.key is None):
            raise ValueError("'bootstrap' has exactly one of 'keyring' and 'key'")
        return self


class Index(Model):
    """A package index of its own, for packages that the ecosystem's ordinary one has in another build."""

    index: Name
    url: Line
    packages: tuple[Name, ...] = Field(
        (), description="packages that come from here and nowhere else; all, when it is a snapshot with a date"
    )
    local: Line | None = Field(None, description="local version label that proves the build, for example cpu")
    date: datetime.date | None = Field(None, description="day of the snapshot, for {date} in URLs")
    tree: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = Field(
        None, exclude_if=_is_none, description="git's hash of the snapshot's files, for {tree} in URLs"
    )

    @model_validator(mode="after")
    def _packages_or_snapshot(self) -> Self:
        state = {name: value for name in ("date", "tree") if (value := getattr(self, name)) is not None}
        if len(state) + bool(self.packages) != 1:
            raise ValueError("an index has either 'packages' or, for a whole snapshot, a 'date' or a 'tree'")
        if missing := [f"{{{name}}}" for name in state if f"{{{name}}}" not in self.url]:
            raise ValueError(f"the 'url' of a snapshot has a place for its state: {missing[0]}")
        return self

    def at(self, url: str) -> str:
        """`url`, the index's own or a mirror's, with the snapshot's state in its place."""
        return url.replace("{date}", str(self.date)).replace("{tree}", str(self.tree))


# A package name, or a pattern of names in which * and ? stand for other characters.
PackagePattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.*?-]+$", max_length=100)]


def _is_metadata(value: str) -> bool:
    return value == "metadata"


class Key(Model):
    """The OpenPGP key that signs a repository."""

    urls: tuple[Line, ...] = Field(
        min_length=1, description="where it may be had, tried in order; one without a scheme is below the place's root"
    )
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{40}([0-9A-F]{24})?$")] = Field(
        description="fingerprint of its primary key in full, 40 hexadecimal digits"
    )
    signs: Literal["metadata", "packages"] = Field(
        "metadata",
        exclude_if=_is_metadata,
        description="the list of its packages, or only each package, as some repositories of dnf do",
    )

    @field_validator("fingerprint", mode="before")
    @classmethod
    def _as_people_write_it(cls, value: object) -> object:
        return value.replace(" ", "").upper() if isinstance(value, str) else value


class Place(Model):
    """Where in a repository the packages for some bases are."""

    base: tuple[Name, ...] = Field(min_length=1)
    path: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*)?$")] = Field(
        "", description="folder below the repository's root"
    )
    suite: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*/?|/)$")] = Field(
        "/", description="name of the suite, or a flat folder, which ends in a slash"
    )
    components: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+/-]+$")], ...] = ()
    key: Key | None = Field(None, description="where it is not the repository's")

    _one_base = field_validator("base", mode="before")(_as_list)

    @model_validator(mode="after")
    def _flat_or_not(self) -> Self:
        if self.suite.endswith("/") == bool(self.components):
            raise ValueError("a suite has components, and a flat folder ('suite' that ends in a slash) has none")
        return self


class Repository(Model):
    """A repository of system packages beside the base's own: a vendor's, or another suite of the distribution."""

    repository: Name
    summary: Line
    uri: Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\s\[\]'\"]+$")] | None = Field(
        None, description="its root; 'sources' of a user's own configuration can name another"
    )
    archive: Name | None = Field(
        None, description="instead of 'uri': an archive whose place this machine knows, such as debian or cran"
    )
    key: Key | None = Field(None, description="what signs it; the base's own keyring when there is none")
    places: tuple[Place, ...] = Field(min_length=1)
    packages: tuple[PackagePattern, ...] = Field(
        min_length=1, description="packages, or patterns of their names, that come from here"
    )
    needs: bool = Field(
        False, description="what these packages need and nobody else has comes from here too; nothing else ever does"
    )
    priority: int = Field(600, ge=501, le=999, description="of these packages; the base's own have 500")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.uri is None) == (self.archive is None):
            raise ValueError("a repository has exactly one of 'uri' and 'archive'")
        if self.uri is not None and not all(place.key or self.key for place in self.places):
            raise ValueError("a repository with a 'uri' has a 'key': urls and fingerprint")
        bases = [base for place in self.places for base in place.base]
        if len(bases) != len(set(bases)):
            raise ValueError("a base has one place in a repository")
        return self

    def place(self, base: str) -> Place | None:
        """The place for `base`, with its key; None when the repository has none."""
        found = next((place for place in self.places if base in place.base), None)
        return found and found.model_copy(update={"key": found.key or self.key})


class Retired(Model):
    """A tool that its makers have ended: asking for it says so, and what takes its place."""

    tool: Name
    aliases: tuple[Name, ...] = Field((), description="other names that people ask for it by")
    since: Line = Field(description="date as far as it is known: YYYY, YYYY-MM or YYYY-MM-DD")
    why: Line
    successors: tuple[Name, ...] = Field(min_length=1, description="tools that take its place")
    source: Line = Field(description="where this stands")

    @field_validator("since", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        # YAML reads 2023 as a number and 2023-07-01 as a date
        return str(value) if isinstance(value, int | date) else value

    @field_validator("since")
    @classmethod
    def _is_date(cls, value: str) -> str:
        if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", value):
            raise ValueError(f"'{value}' is no date: YYYY, YYYY-MM or YYYY-MM-DD")
        return value


class RetiredTools(Model):
    """Tools that image makers once had, by name."""

    retired: tuple[Retired, ...]


def _whole_or_extending(schema: dict[str, Any]) -> None:
    """What a JSON Schema says of `Variant._whole`."""
    schema["anyOf"] = [{"required": ["base", "accelerator", "tools"]}, {"required": ["extends"]}]


class Variant(Model):
    """One image definition: whole, or what differs from the variant that it extends."""

    model_config = ConfigDict(json_schema_extra=_whole_or_extending)

    variant: Name
    extends: Name | None = Field(None, description="variant that it takes everything from that it does not say itself")
    summary: Line = ""
    base: Name = ""
    accelerator: Accelerator = "cpu"
    formats: tuple[Format, ...] = Field(("docker",), min_length=1)
    tools: tuple[Name, ...] = Field((), description="with 'extends', tools beside those of the other variant")
    without: tuple[Name, ...] = Field((), description="with 'extends', tools of the other variant that this one lacks")

    gpus: tuple[Name, ...] = Field((), description="GPUs that it must run on, as compat.yaml names them: v100, h100")
    driver: Driver | None = Field(None, description="NVIDIA driver branch of its machines, for example 580")

    _driver_text = field_validator("driver", mode="before")(_as_text)
    _one_gpu = field_validator("gpus", mode="before")(_as_small_words)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.extends is not None:
            return self
        if missing := [key for key in ("base", "accelerator", "tools") if key not in self.model_fields_set]:
            keys = ", ".join(f"'{key}'" for key in missing)
            raise ValueError(f"{keys} missing: only a variant that extends another one may leave that out")
        if not self.tools:
            raise ValueError("'tools' names no tool")
        if self.without:
            raise ValueError("'without' goes with 'extends'")
        return self

    def extended(self, other: Variant) -> Variant:
        """This variant, made whole with what `other`, which it extends, says beside it."""
        said = {key: getattr(self, key) for key in self.model_fields_set}
        kept = [tool for tool in other.tools if tool not in self.without]
        return other.model_copy(update=said | {"tools": tuple(dict.fromkeys((*kept, *self.tools)))})


# --- compatibility -----------------------------------------------------------------------------------------


def _specifiers(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"'{text}' is no range of versions, such as '>= 3.10, < 3.14'") from error
    return text


def _plain_version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion as error:
        raise ValueError(f"'{text}' is no version") from error
    return text


Specifiers = Annotated[str, AfterValidator(_specifiers)]
PlainVersion = Annotated[str, AfterValidator(_plain_version)]


class Row(Model):
    """One fact of compat.yaml. A row with the same key in a later folder replaces it."""

    source: Name = Field(description="who says so: a key of 'sources'")
    date: datetime.date = Field(description="when that was read")

    @property
    def key(self) -> tuple[str, ...]:
        """What it is about: values of the fields between the table's name and the facts."""
        raise NotImplementedError


class CudaRow(Row):
    """What every CUDA toolkit of one major version needs."""

    cuda: int = Field(ge=8, le=99, description="major version")
    driver: int = Field(description="oldest driver branch that runs it, by minor-version compatibility")
    sm: int = Field(description="oldest GPU architecture it compiles for: 75 is sm_75")

    @property
    def key(self) -> tuple[str, ...]:
        return (str(self.cuda),)


class ToolkitRow(Row):
    """The driver that a toolkit is bundled with: for information, the gate is the floor of its major version."""

    toolkit: CudaVersion
    linux: Driver
    windows: Driver | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return (self.toolkit,)


class GpuRow(Row):
    """A GPU that people name."""

    gpu: Name
    sm: int = Field(description="its architecture: 90 is sm_90")
    cuda: CudaVersion | None = Field(None, description="first CUDA toolkit that knows it")
    last_driver: int | None = Field(None, description="last driver branch that supports it")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.gpu,)


class ModulesRow(Row):
    """The GPUs that one kind of the driver's kernel modules works with."""

    modules: Name
    packages: tuple[PackagePattern, ...] = Field(min_length=1, description="packages that bring these modules")
    sm: tuple[int, int] = Field(description="oldest and newest architecture")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.modules,)


class BuildRow(Row):
    """GPU architectures that one CUDA build of a package carries."""

    package: Name
    cuda: CudaVersion
    sm: tuple[int, int] = Field(description="oldest and newest architecture")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.package, self.cuda)


class FrameworkRow(Row):
    """What a package needs from version `since` on, until `before` or else until its next row."""

    package: Name
    since: PlainVersion
    before: PlainVersion | None = Field(None, description="first version of which this row says nothing any more")
    python: Specifiers = Field("", description="versions of Python")
    cuda: tuple[CudaVersion, ...] = Field((), description="CUDA builds that exist; none: it carries no CUDA")
    extras: dict[Name, CudaVersion] = Field(
        default_factory=dict, description="extra -> CUDA, for packages that carry CUDA only when asked"
    )
    cudnn: Specifiers = Field("", description="versions of cuDNN")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.package, self.since)


class RepositoryRow(Row):
    """The release of a distribution that a vendor's package repository is made for."""

    path: Line = Field(min_length=4, description="part of the repository's URL that names the distribution")
    os: Name
    release: Line

    @property
    def key(self) -> tuple[str, ...]:
        return (self.path,)


class DistributionRow(Row):
    """Releases of a distribution that a package's makers build it for."""

    package: Name
    os: Name = Field(description="ID of os-release")
    releases: tuple[Line, ...] = Field(min_length=1)

    @property
    def key(self) -> tuple[str, ...]:
        return (self.package, self.os)


class EndRow(Row):
    """When something's maintenance ends."""

    product: Name = Field(description="ID of os-release, python or nvidia-driver")
    release: Line
    support: datetime.date = Field(description="end of its makers' ordinary support")
    extended: datetime.date | None = Field(None, description="end of long-term or extended support")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.product, self.release)

    @property
    def last(self) -> datetime.date:
        return self.extended or self.support


class EndPolicy(Model):
    """What an end means for an image, in days."""

    near: int = Field(180, ge=0, description="a warning from so long before the end of ordinary support")
    grace: dict[Name, int] = Field(
        default_factory=dict, description="by product: an error from so long after the last end; else at once"
    )


class Compat(Model):
    """What fits together: the rows that the gate judges by."""

    policy: EndPolicy = EndPolicy()
    sources: dict[Name, Line] = Field(default_factory=dict, description="who says so, by the name that rows use")
    cuda: tuple[CudaRow, ...] = ()
    toolkits: tuple[ToolkitRow, ...] = ()
    gpus: tuple[GpuRow, ...] = ()
    modules: tuple[ModulesRow, ...] = ()
    builds: tuple[BuildRow, ...] = ()
    frameworks: tuple[FrameworkRow, ...] = ()
    repositories: tuple[RepositoryRow, ...] = ()
    distributions: tuple[DistributionRow, ...] = ()
    ends: tuple[EndRow, ...] = ()

    @property
    def tables(self) -> dict[str, tuple[Row, ...]]:
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), tuple)}

    def with_later(self, later: Self) -> Self:
        """This one with the rows of a later folder: new ones added, rows of the same key replaced."""
        changes: dict[str, Any] = {"sources": self.sources | later.sources}
        if "policy" in later.model_fields_set:
            said = {name: getattr(later.policy, name) for name in later.policy.model_fields_set}
            said["grace"] = self.policy.grace | later.policy.grace
            changes["policy"] = self.policy.model_copy(update=said)
        for name, rows in later.tables.items():
            merged = {row.key: row for row in (*self.tables[name], *rows)}
            changes[name] = tuple(merged.values())
        return self.model_copy(update=changes)


# --- lock --------------------------------------------------------------------------------------------------


class Pin(Model):
    """One resolved artefact. `file` is a file name or pool-relative path; only plain downloads have their URL there."""

    name: str
    version: str
    file: str
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256
    registry: str = Field(description="name of the registry it comes from: debian, pypi, npm, pytorch-cpu, url")
    integrity: str | None = Field(None, description="npm's own digest, sha512-BASE64")

    @property
    def filename(self) -> str:
        return self.file.rsplit("/", 1)[-1]


class Section(Model):
    """What one ecosystem resolved for one place in the image; re-locked as a whole."""

    id: str = Field(description="system, env-pytorch, code-server, code-server-build-apt, ...")
    ecosystem: Name
    tools: tuple[Name, ...] = Field((), description="tools that asked for it")
    request: Any = Field(description="what was asked, as JSON")
    input: Sha256 = Field(description="digest of request and base: the section is stale when it differs")
    epoch: int = Field(description="seconds since 1970: when its pins last changed; mtime of what it installs")
    pins: tuple[Pin, ...]
    extra: dict[str, Any] = Field(default_factory=dict, description="what the ecosystem needs for installing")
    formats: tuple[Format, ...] = Field(
        (), exclude_if=_is_empty, description="only in images of these formats; in all when empty"
    )

    def pin(self, name: str) -> Pin | None:
        return next((pin for pin in self.pins if pin.name == name), None)


class LeftOut(Model):
    tool: Name
    reason: str


class Choice(Model):
    """Which source of a tool was taken, and why the earlier ones were not."""

    tool: Name
    source: int = Field(ge=0, description="place in the tool's sources, from 0")
    passed_over: tuple[str, ...] = Field((), description="sources out of reach when it was locked, by ecosystem")
    formats: tuple[Format, ...] = Field(
        (), exclude_if=_is_empty, description="only in images of these formats; in all when empty"
    )


class Lock(Model):
    """Every artefact of a variant."""

    version: Literal[1] = 1
    variant: Name
    base: Name
    base_kind: BaseKind
    choices: tuple[Choice, ...]
    left_out: tuple[LeftOut, ...] = ()
    sections: tuple[Section, ...]

    def section(self, section_id: str) -> Section | None:
        return next((section for section in self.sections if section.id == section_id), None)

    def of(self, format: Format) -> Lock:
        """What of it is in an image of `format`: what only others have moves neither its digest nor its epoch."""
        return self.model_copy(
            update={
                "choices": tuple(one for one in self.choices if not one.formats or format in one.formats),
                "sections": tuple(one for one in self.sections if not one.formats or format in one.formats),
            }
        )

    @property
    def digest(self) -> str:
        return digest_of(self.model_dump(mode="json"))

    @property
    def epoch(self) -> int:
        """SOURCE_DATE_EPOCH of the image: when any of its pins last changed."""
        return max(section.epoch for section in self.sections)


# --- plan --------------------------------------------------------------------------------------------------


class Step(Model):
    """One RUN, or one call on Windows: a script of the platform with its arguments, over the sections it reads."""

    script: Line
    args: tuple[str, ...] = ()
    sections: tuple[str, ...] = Field((), description="mounted read-only at /dsvm/store/SECTION")
    helpers: tuple[Line, ...] = Field((), description="further scripts that it calls, mounted beside it")
    cache: str | None = Field(None, description="name of a cache folder kept between builds, at /dsvm/cache")
    unreproducible: str | None = Field(
        None, exclude_if=_is_none, description="why two runs may give different bytes; None: they may not"
    )


class Stage(Model):
    """A Dockerfile stage, or the next one of a sequence. A stage with `output` hands its /out folder to the image."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]*$")]
    section: Name = Field(description="section of the lock that it installs, or a part of it")
    title: Line
    parent: str = Field(description="'base' or the name of an earlier stage")
    brings: tuple[str, ...] = Field(
        (), exclude_if=_is_empty, description="earlier stages whose output it starts with, beside its parent"
    )
    steps: tuple[Step, ...]
    output: bool = False
    unreproducible: str | None = Field(None, description="why two builds may differ; None: they may not")


class PlannedTool(Model):
    """A tool as the image has it: what checks and reports are made from."""

    name: Name
    summary: str
    homepage: str
    license: str
    group: str
    package: str
    version: str = Field(description="locked version, as its ecosystem writes it")
    ecosystem: Name
    env: Name | None = None
    commands: tuple[str, ...] = ()
    kernel: Kernel | None = None
    service: Service | None = None
    checks: tuple[Check, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict, description="locked versions of all its own packages")


class MachinePart(Model):
    """What makes a virtual machine of a container image."""

    stage: str = Field(description="stage that installs what only a machine needs, on top of the finished image")
    root_uuid: str = Field(description="UUID of its root file system")
    esp_uuid: str = Field(description="volume ID of its EFI system partition, XXXX-XXXX")
    finish: Step = Field(description="the last step, over all files: services on, initial RAM disk made")
    provisioners: dict[Line, Sha256] = Field(
        description="scripts of scripts/machine that run in the booted machine, in this order, and their digests"
    )
    template: Sha256 = Field(description="digest of its Dockerfile's template")


class Plan(Model):
    """Variant and lock as ordered stages, before anything runs."""

    variant: Name
    summary: str
    accelerator: Accelerator
    base: Base
    base_kind: BaseKind
    lock_digest: Sha256
    epoch: int
    stages: tuple[Stage, ...]
    system: str = Field(description="name of the stage that the image continues from")
    tools: tuple[PlannedTool, ...]
    left_out: tuple[LeftOut, ...] = ()
    files: dict[ImagePath, File] = Field(default_factory=dict, description="small files of tools, with their text")
    environment: dict[str, str] = Field(default_factory=dict)
    sections: tuple[Section, ...] = Field(description="what the stages install from")
    scripts: dict[str, Sha256] = Field(default_factory=dict, description="scripts that run in the build")
    template: Sha256 = Field(description="digest of the template that it is rendered with")
    # These two are left out of the JSON of a container image's plan.
    format: Format | None = Field(None, exclude_if=_is_none, description="of a virtual machine; None: a container")
    machine: MachinePart | None = Field(None, exclude_if=_is_none)

    @property
    def digest(self) -> str:
        """Names the image: two plans with one digest give one image."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def services(self) -> dict[str, Service]:
        return {tool.name: tool.service for tool in self.tools if tool.service is not None}


# --- report ------------------------------------------------------------------------------------------------

Outcome = Literal["passed", "failed", "not exercised"]


class CheckResult(Model):
    tool: str
    check: str
    outcome: Outcome
    seconds: float
    output: str = Field("", description="of a failure, or the reason why it was not exercised")


class Report(Model):
    """What verification found on one image."""

    variant: Name
    image: str = Field(description="image digest, sha256:HEX")
    lock: Sha256
    results: tuple[CheckResult, ...]
    left_out: tuple[LeftOut, ...] = ()
    facts: dict[str, str] = Field(
        default_factory=dict, exclude_if=_is_empty, description="what else was measured, such as a machine's boot time"
    )

    def count(self, outcome: Outcome) -> int:
        return sum(result.outcome == outcome for result in self.results)


def canonical_json(value: Mapping[str, Any] | Model) -> str:
    """Stable, readable JSON that ends in a newline: the form of every file we write."""
    data = value.model_dump(mode="json", exclude_none=True) if isinstance(value, Model) else value
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
