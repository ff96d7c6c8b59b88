"""What is asked of a build, beside the variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from dsvm.catalog import near
from dsvm.model import Format, InputError
from dsvm.session.session import Session


@dataclass(frozen=True)
class BuildOptions:
    format: str = "docker"
    verify: bool = True
    locked: bool = False
    update_stale: bool = False
    no_cache: bool = False
    builder: str | None = None
    # a tag of a registry that gets the verified image
    push: str | None = None


def refuse_contradictions(session: Session, options: BuildOptions) -> None:
    """Raise InputError for options of which one undoes what the other asks for."""
    for one, other, why in (
        (options.locked, options.update_stale, "--locked forbids to resolve, and --update-stale asks for it"),
        (session.offline, options.update_stale, "--offline forbids to resolve, and --update-stale asks for it"),
        (options.push, not options.verify, "--push is for what was verified, and --no-verify leaves that out"),
        (session.offline, options.push, "--offline asks no registry, and --push does"),
    ):
        if one and other:
            raise InputError(why, hint="Leave one of them out")


def format_of(session: Session, variant: str, name: str) -> Format:
    """The format called `name`; InputError for one that there is not, and for one that `variant` lacks."""
    known: tuple[Format, ...] = get_args(Format)
    found = next((one for one in known if one == name), None)
    if found is None:
        raise InputError(f"unknown format '{name}'{near(name, known)}", hint=f"Known formats: {', '.join(known)}")
    formats = session.catalog.variant(variant).formats
    if found not in formats:
        raise InputError(
            f"{variant} does not come out as {name}: its formats are {', '.join(formats)}",
            hint="Name it under 'formats' of the variant, or of one of your own that extends it",
        )
    return found
