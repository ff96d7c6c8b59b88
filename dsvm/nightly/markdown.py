"""A night as Markdown, for the page of a CI run or a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from dsvm.audit import plain
from dsvm.diff import to_markdown as of_difference
from dsvm.model import Culprit, Night, VariantNight
from dsvm.nightly.words import about, minutes, size, title


def to_markdown(night: Night) -> str:
    """The verdict, then a section for each variant; ends in a newline."""
    return "\n".join(_lines(night)).rstrip("\n") + "\n"


def _lines(night: Night) -> Iterator[str]:
    yield f"# {title(night)}"
    yield ""
    if night.release is not None:
        yield f"Released to `{night.registry}`, {_channels(night)}: `{night.release}`."
        yield ""
    if night.why and not any(one.why for one in night.variants):
        yield from _quoted(night.why)
    yield "| variant | night | checks | size | to pull | time |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in night.variants:
        checks = f"{one.passed} passed, {one.failed} failed" if one.passed is not None else ""
        if one.not_exercised:
            checks += f", {one.not_exercised} not exercised"
        yield f"| {one.variant} | {one.verdict} | {checks} | {size(one.size)} | {size(one.pull)} | {minutes(one)} |"
    yield ""
    for one in night.variants:
        yield from _of_variant(one)


def _channels(night: Night) -> str:
    return ", ".join(f"`{name}`" for name in night.channels)


def _of_variant(one: VariantNight) -> Iterator[str]:
    if one.verdict == "unchanged":
        return
    yield f"## {one.variant}: {plain(about(one))}"
    yield ""
    if one.why:
        yield f"It broke at: **{plain(one.broke)}**"
        yield ""
        yield from _quoted(one.why)
    for culprit in one.culprits:
        yield from _of_culprit(culprit)
    for said, holds in (("Held back", one.holds), ("Held no longer", one.dropped)):
        yield from (f"- {said}: {plain(hold.name)}, until {hold.expires}: {plain(hold.reason)}" for hold in holds)
    yield from (f"- Flaky: {plain(name)}" for name in one.flaky)
    yield from (f"- Not resolved anew: {plain(name)}" for name in one.stayed)
    yield ""
    if one.changes is not None:
        # its headings go below ours
        yield from (f"#{line}" if line.startswith("#") else line for line in of_difference(one.changes).splitlines())
        yield ""


def _of_culprit(culprit: Culprit) -> Iterator[str]:
    yield f"**{plain(', together with '.join(culprit.moves))}** breaks {plain(', '.join(culprit.checks))}"
    if culprit.with_them:
        yield f"(with it moves {plain(', '.join(culprit.with_them))})"
    yield f"— found in {len(culprit.trials)} trials."
    yield ""
    yield from _quoted(culprit.output)


def _quoted(text: str) -> Iterator[str]:
    """Text that somebody else made: indented, nothing of it is Markdown."""
    yield from (f"    {line}" for line in text.splitlines())
    yield ""
