"""Operating systems that images start from, and what machines start from in the clouds."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from dsvm.model.common import Format, ImagePath, Line, Model, Name, Platform, RepositoryName, is_empty, is_none
from dsvm.model.registries import Key


class AzureImage(Model):
    """A vendor's image in Azure's marketplace: `az vm image list --publisher PUBLISHER --all`."""

    publisher: Line
    offer: Line
    sku: Line


class AmazonImage(Model):
    """A vendor's image in AWS, the newest one of an owner's whose name fits."""

    owner: Annotated[str, StringConstraints(pattern=r"^([0-9]{12}|amazon|aws-marketplace)$")]
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
        exclude_if=is_empty,
        description="what compiling for a runtime needs beside it; not in the image",
    )
    # These are left out of JSON while they are empty: what never used them keeps its digests.
    repositories: tuple[RepositoryName, ...] = Field(
        (),
        exclude_if=is_empty,
        description="repositories that its system packages and runtimes may come from beside its own archive",
    )
    ecosystems: tuple[Name, ...] = Field(
        (), exclude_if=is_empty, description="ecosystems that work on it; all when empty"
    )
    formats: tuple[Format, ...] = Field(
        (), exclude_if=is_empty, description="formats that it can come out as; all when empty"
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
        None, exclude_if=is_none, description="file of this host with the keys that sign the archive"
    )
    key: Key | None = Field(
        None, exclude_if=is_none, description="instead of 'keyring': the key that signs the archive, to be fetched"
    )
    include: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")], ...] = Field(
        (), description="packages beyond the essential ones"
    )

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.keyring is None) == (self.key is None):
            raise ValueError("'bootstrap' has exactly one of 'keyring' and 'key'")
        return self
