"""A format's road: container images, virtual machines made here, or a cloud, behind the same few commands."""

from __future__ import annotations

from collections.abc import Sequence

from dsvm import cloud, pipeline, vm
from dsvm.errors import InputError
from dsvm.pipeline import BuildOptions, Workshop

CONTAINER = "docker"


def build(shop: Workshop, variant: str, options: BuildOptions) -> None:
    """Everything from manifest to a verified image of `options.format`."""
    if options.format == CONTAINER:
        pipeline.build(shop, variant, options)
    elif options.format in cloud.FORMATS:
        cloud.build(shop, variant, options)
    else:
        vm.build(shop, variant, options)


def render(shop: Workshop, variant: str, format: str, *, old_packer: bool) -> None:
    """Write what a locked variant is built from; for a cloud also the archive that is installed there."""
    if format == CONTAINER:
        shop.say(f"{pipeline.render(shop, variant)[1]}")
    else:
        cloud.prepare(shop, variant, cloud.of_name(shop, variant, format), plugins=not old_packer)


def verify(shop: Workshop, variant: str, format: str, *, only: Sequence[str]) -> None:
    """Check every tool, or those of `only`; a full pass gives the image its name. Raises VerifyError."""
    if format == CONTAINER:
        pipeline.verify(shop, variant, only=only)
    else:
        vm.verify(shop, variant, format=format, only=only)


def start(shop: Workshop, variant: str, format: str, *, timeout: float | None, mounts: Sequence[str] = ()) -> None:
    """Start the image, with folders of this machine (`mounts`), and print where its services are."""
    if format == CONTAINER:
        pipeline.start_image(shop, variant, timeout=timeout, mounts=mounts)
    elif mounts:
        raise InputError("--mount is for containers: a virtual machine has a disk of its own", hint="Use scp or rsync")
    else:
        vm.start(shop, variant, format=format, timeout=timeout)


def stop(shop: Workshop, variant: str, format: str, *, forget: bool = False) -> None:
    """Stop what `start` has started; with `forget`, what was saved in it goes too."""
    if format == CONTAINER:
        pipeline.stop_image(shop, variant, forget=forget)
    else:
        vm.stop(shop, variant, format=format, forget=forget)
