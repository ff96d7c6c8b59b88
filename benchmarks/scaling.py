"""What many variants cost on one machine, in a CI matrix and on a cluster: computed from what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dsvm.model import Model

VARIANTS = (1, 10, 100, 1000)
JOBS = 20  # that GitHub runs at once for a free account: https://docs.github.com/en/actions/reference/limits
BUILDERS = 10
# US dollars a minute, each job rounded up to whole ones: a hosted Linux runner with two cores, since January 2026
# https://docs.github.com/en/billing/reference/actions-runner-pricing
MINUTE = 0.006


class Step(Model):
    """One build: wall-clock `seconds`, and the bytes that went from and to the registry."""

    seconds: float
    pulled: int = 0
    pushed: int = 0


class Measured(Model):
    """What `benchmarks/scale.py` measures; each step is the median of its `runs` in engines that were empty before.

    `fetched` are bytes of artefacts that a machine downloads before its first build, `size` those of the image.
    """

    machine: str
    subject: str
    runs: int
    fetched: int
    size: int
    cold: Step
    shared: Step  # the same, which also writes the cache
    again: Step  # one package other, in the engine of the cold build
    elsewhere: Step  # the same image in an empty engine that reads the cache
    other: Step  # one package other in an empty engine that reads the cache


@dataclass(frozen=True)
class Cost:
    """Of a set of variants: `seconds` until the last is built, bytes over the network, seconds of machines, dollars."""

    seconds: float
    moved: int
    worked: float
    dollars: float


def one_machine(found: Measured, variants: int) -> Cost:
    """One after the other in one engine: the first is cold, the others differ from it by a package of their own."""
    seconds = found.cold.seconds + (variants - 1) * found.again.seconds
    return Cost(seconds, found.fetched, seconds, _dollars(seconds))


def matrix(found: Measured, variants: int) -> Cost:
    """A job for each, in an empty engine: the first fills the registry's cache, the others read it, JOBS at once."""
    first, rest = found.shared, variants - 1
    rounds = math.ceil(rest / JOBS)
    worked = first.seconds + rest * found.other.seconds
    moved = first.pushed + rest * found.other.pulled + variants * found.fetched
    dollars = _dollars(first.seconds) + rest * _dollars(found.other.seconds)
    return Cost(first.seconds + rounds * found.other.seconds, moved, worked, dollars)


def cluster(found: Measured, variants: int) -> Cost:
    """BUILDERS that stay: one fills the cache, each other one reads it once, and then all build side by side.

    One machine has the artefacts, and hands each builder what it lacks, so that they are fetched once.
    """
    used = min(BUILDERS, variants)
    rest = variants - used
    rounds = math.ceil(rest / BUILDERS)
    begun = found.shared.seconds + (found.other.seconds if used > 1 else 0)
    worked = found.shared.seconds + (used - 1) * found.other.seconds + rest * found.again.seconds
    seconds = begun + rounds * found.again.seconds
    moved = found.fetched + found.shared.pushed + (used - 1) * found.other.pulled
    return Cost(seconds, moved, worked, used * _dollars(seconds))


def _dollars(seconds: float) -> float:
    return math.ceil(seconds / 60) * MINUTE


def page(found: Measured) -> str:
    """All of it as Markdown, ends in a newline."""
    return "\n".join([*_head(found), *_model(found), ""])


def _head(found: Measured) -> Iterator[str]:
    yield "# Many variants, many machines"
    yield ""
    yield "Written by `benchmarks/scale.py` from `benchmarks/scale.json`, which it measured; how: `docs/ci.md`."
    yield ""
    yield "## Measured"
    yield ""
    yield f"{found.machine}. {found.subject}; the image has {_gb(found.size)}, its artefacts {_gb(found.fetched)}."
    yield f"Runs of each: {found.runs}, in engines that were empty, with a registry on the same machine: its bytes cost"
    yield "time for packing and unpacking, and none of a network. Checks of the image are not counted."
    yield ""
    yield "| build | seconds | from the registry | to it |"
    yield "| --- | ---: | ---: | ---: |"
    rows = (
        ("cold, nothing shared", found.cold),
        ("cold, and the cache is written", found.shared),
        ("one package other, in the same engine", found.again),
        ("the same image, empty engine, cache read", found.elsewhere),
        ("one package other, empty engine, cache read", found.other),
    )
    for name, step in rows:
        yield f"| {name} | {step.seconds:.1f} | {_gb(step.pulled)} | {_gb(step.pushed)} |"


def _model(found: Measured) -> Iterator[str]:
    yield ""
    yield "## Computed"
    yield ""
    yield "Variants that differ from each other by one package of their own. What it takes until all are built:"
    yield ""
    ways = (
        ("one machine", one_machine, "one after the other in one engine"),
        ("CI matrix", matrix, f"a fresh runner for each, {JOBS} at once; the first fills the cache"),
        ("cluster", cluster, f"{BUILDERS} builders that stay; each reads the cache once"),
    )
    for name, _, how in ways:
        yield f"- **{name}**: {how}"
    yield ""
    yield "| variants | | time | over the network | machines work | US dollars |"
    yield "| ---: | --- | ---: | ---: | ---: | ---: |"
    for variants in VARIANTS:
        for name, cost_of, _ in ways:
            cost = cost_of(found, variants)
            yield (
                f"| {variants:,} | {name} | {_time(cost.seconds)} | {_gb(cost.moved)} | {_time(cost.worked)} "
                f"| {cost.dollars:,.2f} |"
            )
    yield ""
    yield f"Dollars are what GitHub asks for hosted Linux runners with two cores since January 2026, {MINUTE} a minute,"
    yield "each job rounded up to whole minutes; a cluster is paid for as long as it builds. Traffic is free there."
    yield "Not in the model: the start of runners, the time that a network takes, checks, and variants that share less."


def _gb(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count else "0"


def _time(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if seconds < 600:
        return f"{seconds / 60:.1f} min"
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min"
