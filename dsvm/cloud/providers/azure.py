"""Azure: a page blob, from it a managed image, a version in an Azure Compute Gallery, or both; by `az`.

https://learn.microsoft.com/cli/azure/image, /cli/azure/sig/image-version and /cli/azure/storage/blob
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from dsvm.cloud.providers.cli import Cli, same_image
from dsvm.model import Model, PublishError
from dsvm.plan import Release

PROGRAM = "az"
LOGIN = "Log in: az login (or az login --service-principal); az account set --subscription NAME"
# What `az` ends with when there is no such thing
ABSENT = 3
ARCHITECTURES = {"amd64": "x64", "arm64": "Arm64"}

Region = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{2,40}$")]
ResourceGroup = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]$")]


class Gallery(Model):
    """An Azure Compute Gallery that exists already. Each variant gets an image definition of its own in it."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._]{0,79}$")]
    resource_group: ResourceGroup | None = Field(None, description="its resource group; that of the images by default")
    publisher: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")] = "dsvm"
    regions: tuple[Region, ...] = Field((), description="regions that get replicas beside 'location'")
    replicas: int = Field(1, ge=1, le=100, description="copies in each region")
    storage: Literal["Standard_LRS", "Standard_ZRS", "Premium_LRS"] = "Standard_LRS"
    keep: int | None = Field(None, ge=1, description="newest versions of a variant to keep; all when empty")
    end_of_life_days: int | None = Field(None, ge=1, description="days from the version's date to its end of life")


class Azure(Model):
    """Where images go in Azure. Resource group, storage account and gallery exist already."""

    subscription: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="ID or name; the one of the login by default"
    )
    resource_group: ResourceGroup
    location: Region
    storage_account: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,24}$")]
    container: Annotated[str, StringConstraints(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")] = "dsvm-images"
    managed_image: bool = Field(False, description="make a managed image too")
    gallery: Gallery | None = None
    tags: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")], str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.managed_image and self.gallery is None:
            raise ValueError("nothing would come out: say 'managed_image: true', or name a 'gallery', or both")
        return self


def publish(cli: Cli, settings: Azure, release: Release) -> list[str]:
    """Publish `release`; returns what users name to get it. What is there already is left as it is."""
    scope = ["--subscription", settings.subscription] if settings.subscription else []
    cli.always = (*scope, "--only-show-errors", "--output", "json")
    cli.identify("account", "show")
    place = _Place(cli, settings, release)
    with cli.all_or_nothing():
        made = place.fill()
    place.retire()
    return made


def packer_values(settings: Azure, release: Release) -> dict[str, Any]:
    """The variables of templates/packer/azure-arm.pkr.hcl.j2 that these settings answer."""
    gallery = settings.gallery
    return {
        **({"subscription_id": settings.subscription} if settings.subscription else {}),
        "location": settings.location,
        "resource_group": settings.resource_group,
        **({"gallery": gallery.name, "gallery_regions": [*gallery.regions]} if gallery is not None else {}),
        "gallery_definition": release.variant,
        "tags": settings.tags,
    }


class _Place:
    def __init__(self, cli: Cli, settings: Azure, release: Release) -> None:
        self.cli, self.settings, self.release = cli, settings, release
        self.group = ("--resource-group", settings.resource_group)
        self.tags = ("--tags", *(f"{key}={value}" for key, value in (settings.tags | dict(release.tags)).items()))
        self.definition: tuple[str, ...] = ()
        self.version: tuple[str, ...] = ()
        if (gallery := settings.gallery) is not None:
            owner = gallery.resource_group or settings.resource_group
            # letters, digits, dots and hyphens
            self.definition = ("--resource-group", owner, "--gallery-name", gallery.name)
            self.definition += ("--gallery-image-definition", release.variant)
            self.version = (*self.definition, "--gallery-image-version", release.version)

    def fill(self) -> list[str]:
        cli, release = self.cli, self.release
        image = self._existing_image() if self.settings.managed_image else None
        version = self._existing_version() if self.settings.gallery is not None else None
        missing = (self.settings.managed_image and not image) or (self.settings.gallery is not None and not version)
        blob = None
        if missing and release.image is None and image is None:
            blob = self._upload()
        if self.settings.managed_image and image is None:
            image = release.image or self._make_image(str(blob and blob["uri"]))
        if self.settings.gallery is not None and version is None:
            version = self._make_version(image or release.image, blob)
        if not missing:
            cli.echo(f"publish: {release.name} is there already")
        return [str(one) for one in (image, version) if one]

    def _existing_image(self) -> str | None:
        if self.release.image is not None:
            return self.release.image
        found = self.cli.ask("image", "show", *self.group, "--name", self.release.name, dry=None, absent=ABSENT)
        if found is None:
            return None
        same_image(self.release, f"managed image {self.release.name}", found.get("tags"), "dsvm-lock")
        return str(found["id"])

    def _existing_version(self) -> str | None:
        gallery = self.settings.gallery
        assert gallery is not None  # noqa: S101 - for the type checker
        there = self.cli.ask("sig", "show", *self.definition[:4], dry={"name": gallery.name}, absent=ABSENT)
        if there is None:
            raise PublishError(
                f"there is no gallery {gallery.name} in resource group {self.definition[1]}",
                hint=f"Make it once: az sig create {' '.join(self.definition[:4])} --location {self.settings.location}",
            )
        found = self.cli.ask("sig", "image-version", "show", *self.version, dry=None, absent=ABSENT)
        if found is None:
            return None
        where = f"version {self.release.version} of {self.release.variant} in {gallery.name}"
        same_image(self.release, where, found.get("tags"), "dsvm-lock")
        if found.get("provisioningState") != "Succeeded":
            raise PublishError(
                f"{where} is {found.get('provisioningState')}",
                hint=f"When nobody is making it any more: az sig image-version delete {' '.join(self.version)}",
            )
        return str(found["id"])

    def _upload(self) -> Mapping[str, Any]:
        account = self.settings.storage_account
        name = f"{self.release.name}.vhd"
        endpoints = {"blob": f"https://{account}.blob.core.windows.net/"}
        # `show` wants a resource group, or ends with 2 as for a wrong option
        accounts = self.cli.ask(
            *("storage", "account", "list"),
            dry=[{"name": account, "id": f"ID-OF-{account}", "primaryEndpoints": endpoints}],
        )
        shown = next((one for one in accounts if one["name"] == account), None)
        if shown is None:
            raise PublishError(
                f"there is no storage account {account}",
                hint=f"Make it once: az storage account create --name {account} {' '.join(self.group)}",
            )
        where = ("--account-name", account, "--auth-mode", "login")
        # does nothing when it is there
        self.cli.do("container", "storage", "container", "create", "--name", self.settings.container, *where)
        # what is made of it is a copy
        self.cli.later(f"the uploaded disk {name}", self._remove_blob)
        self.cli.do(
            f"uploading {self.release.disk}",
            *("storage", "blob", "upload", "--type", "page", "--overwrite", "true", "--no-progress"),
            *("--container-name", self.settings.container, "--name", name, "--file", str(self.release.disk), *where),
        )
        endpoint = shown["primaryEndpoints"]["blob"]
        return {"uri": f"{endpoint}{self.settings.container}/{name}", "account": shown["id"]}

    def _remove_blob(self) -> None:
        where = ("--account-name", self.settings.storage_account, "--auth-mode", "login")
        name = f"{self.release.name}.vhd"
        words = ("storage", "blob", "delete", "--container-name", self.settings.container, "--name", name, *where)
        # an upload that fails may not have made it
        self.cli.do("", *words, absent=ABSENT)

    def _make_image(self, uri: str) -> str:
        named = (*self.group, "--name", self.release.name)
        self.cli.undo(f"managed image {self.release.name}", partial(self.cli.do, "", "image", "delete", *named))
        made = self.cli.make(
            f"managed image {self.release.name}",
            *("image", "create", *named, "--source", uri, "--location", self.settings.location),
            *("--os-type", self._os_type, "--hyper-v-generation", "V2", *self.tags),
            dry={"id": f"ID-OF-{self.release.name}"},
        )
        return str(made["id"])

    @property
    def _os_type(self) -> str:
        return self.release.platform.capitalize()

    def _make_version(self, image: str | None, blob: Mapping[str, Any] | None) -> str:
        gallery, release, cli = self.settings.gallery, self.release, self.cli
        assert gallery is not None  # noqa: S101 - for the type checker
        located = ("--location", self.settings.location)
        if cli.ask("sig", "image-definition", "show", *self.definition, dry=None, absent=ABSENT) is None:
            delete = ("sig", "image-definition", "delete", *self.definition)
            cli.undo(f"image definition {release.variant}", partial(cli.do, "", *delete))
            cli.do(
                f"image definition {release.variant} in {gallery.name}",
                *("sig", "image-definition", "create", *self.definition, *located),
                *("--publisher", gallery.publisher, "--offer", "dsvm", "--sku", release.variant),
                *("--os-type", self._os_type, "--os-state", "Generalized", "--hyper-v-generation", "V2"),
                *("--architecture", ARCHITECTURES[release.arch], "--features", "SecurityType=TrustedLaunchSupported"),
                *("--description", release.summary),
            )
        delete = ("sig", "image-version", "delete", *self.version)
        cli.undo(f"version {release.version}", partial(cli.do, "", *delete))
        if blob is not None and image is None:
            source: tuple[str, ...] = ("--os-vhd-uri", blob["uri"], "--os-vhd-storage-account", blob["account"])
        else:
            source = ("--managed-image", str(image))
        regions = dict.fromkeys((self.settings.location, *gallery.regions))
        end = release.end_after(gallery.end_of_life_days)
        made = cli.make(
            f"version {release.version} in {gallery.name}: {', '.join(regions)}",
            *("sig", "image-version", "create", *self.version, *located, *source),
            *("--target-regions", *(f"{region}={gallery.replicas}={gallery.storage.lower()}" for region in regions)),
            *(("--end-of-life-date", end) if end else ()),
            *self.tags,
            dry={"id": f"ID-OF-{release.variant}-{release.version}"},
        )
        return str(made["id"])

    def retire(self) -> None:
        """Delete older versions of this variant beyond those to keep."""
        gallery = self.settings.gallery
        if gallery is None or gallery.keep is None:
            return
        found = self.cli.ask("sig", "image-version", "list", *self.definition, dry=[])
        ours = [one for one in found if (one.get("tags") or {}).get("dsvm-variant") == self.release.variant]
        names = sorted((one["name"] for one in ours), key=lambda name: tuple(map(int, name.split("."))))
        for name in names[: -gallery.keep]:
            if name != self.release.version:
                words = ("sig", "image-version", "delete", *self.definition, "--gallery-image-version", name)
                self.cli.do(f"retiring version {name}", *words)
