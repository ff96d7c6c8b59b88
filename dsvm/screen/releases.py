"""Releases on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsvm.container import Baked
from dsvm.model import answers
from dsvm.release import Checked, CheckedDisk, Doomed, Published, Switch
from dsvm.screen.console import echo, table, warn
from dsvm.screen.forms import shown_as
from dsvm.store import megabytes


def show_published(published: Published, registry: str) -> None:
    """Print what a release has, and which channels name it."""
    rows = [[one.variant, one.since, f"{registry}@{one.digest}"] for one in published.release.images]
    table(f"Release {published.release.name}", ["variant", "since", "image"], rows)
    echo(f"sent {megabytes(published.sent)} of {megabytes(published.size)}; all of it was pulled back and compared")
    echo(f"index: {registry}@{published.index.digest}")
    show_switched(published.switched)


def show_baked(baked: Sequence[Baked], file: Path) -> None:
    """Say how the images of a docker-bake.json are built, and what is still to be done with them."""
    echo(str(file))
    echo(f"build: docker buildx bake --builder BUILDER --file {file}")
    for one in baked:
        echo(f"then:  {one.verification}")


def show_switched(switched: Sequence[Switch]) -> None:
    for one in switched:
        came = f", before {one.old}" if one.old not in (None, one.new) else ""
        echo(f"{one.channel}: {one.new}{came}")


def show_checked(checked: Checked | CheckedDisk, *, signed: bool) -> None:
    """Print what a release, an image or a disk is found to be; `signed` says whether signatures were looked for."""
    if not checked.digest:
        return
    if isinstance(checked, CheckedDisk):
        _show_disk(checked)
    else:
        _show_release(checked)
    if not signed:
        warn("no --key and no --identity: digests were compared, and who has signed what was not looked at")
    if not checked.faults:
        echo("all of it is as it was published" + (" and signed" if signed else ""))


def _show_disk(checked: CheckedDisk) -> None:
    row = [
        checked.variant,
        checked.format,
        f"{checked.size / 1e6:,.1f}",
        str(checked.files),
        checked.lock[:12],
        _count(checked.components),
        _count(checked.artefacts),
        checked.builder or "-",
    ]
    columns = ["variant", "format", "MB", "files beside it", "lock", "in its bill", "built from", "builder"]
    echo(f"{checked.path}: {checked.digest}")
    table("", columns, [row], right=(2, 3, 5, 6))


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


def _show_release(checked: Checked) -> None:
    echo(f"{checked.what}: {f'release {checked.release}, ' if checked.release else ''}{checked.digest}")
    for one in checked.promotions:
        run = f", {one.run}" if one.run else ""
        echo(f"signed for {one.channels.replace(' ', ', ') or 'no channel'} by {one.who or 'nobody who is named'}{run}")
    rows = [
        [
            one.variant,
            one.digest,
            f"{one.size / 1e6:,.1f}",
            str(one.blobs),
            one.lock[:12],
            _count(one.components),
            _count(one.artefacts),
            one.builder or "-",
        ]
        for one in checked.images
    ]
    columns = ["variant", "image", "MB", "blobs", "lock", "in its bill", "built from", "builder"]
    if rows:
        table("", columns, rows, right=(2, 3, 5, 6))


def show_doomed(doomed: Doomed, deleted: bool) -> None:
    """Print what goes and what stays."""
    rows = [[name, "stays", why] for name, why in doomed.kept.items()]
    rows += [[name, "goes", ""] for name in doomed.releases]
    if rows:
        table("", ["release", "", "why"], sorted(rows))
    echo(f"{len(doomed.documents)} documents, {megabytes(doomed.size)} that nothing else names")
    if deleted:
        echo("deleted; the registry's own garbage collection gives the room back")
    elif doomed.documents:
        echo("nothing was deleted: --delete does it")


def show_pull_size(found: answers.PullAnswer, format: str) -> None:
    """Print it as a table, or as JSON."""
    shown_as(format, _pull_size)(found)


def _pull_size(found: answers.PullAnswer) -> None:
    size, whole = (f"{count / 1e6:,.1f} MB" for count in (found.bytes, found.all_bytes))
    echo(f"{size} of {whole}: {found.layers} of {found.all_layers} layers")
