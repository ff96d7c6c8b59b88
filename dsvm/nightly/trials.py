"""One image of one lock: whether it is built, and what its checks say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dsvm import container
from dsvm.host import tail
from dsvm.model import BuildError, Report, VerifyError
from dsvm.nightly.times import Times
from dsvm.session import BuildOptions, Session

BUILD = "build"  # stands for a tool where a stage fails
STARTS = "image: starts"  # stands for a check where none could be made
REPEATS = 2  # how often what fails is checked again before it counts as broken


@dataclass(frozen=True)
class Attempt:
    """What came of an image: `broken` is TOOL: CHECK, or build: STAGE, -> the end of what it said."""

    broken: Mapping[str, str] = field(default_factory=dict)
    report: Report | None = None
    size: int | None = None

    @property
    def tools(self) -> tuple[str, ...]:
        """Whose checks are broken."""
        return tuple(dict.fromkeys(name.partition(": ")[0] for name in self.broken))


def attempt(
    session: Session, variant: str, times: Times, *, only: Sequence[str] = (), build_alone: bool = False
) -> Attempt:
    """Build the lock that `variant` has in this session, and check it, or only some tools; a full pass names it.

    With `build_alone` nothing is checked. Other faults than those of the image are raised: no engine, no network.
    """
    try:
        with times.of("build"):
            _, built = container.build(session, variant, BuildOptions(verify=False, locked=True))
    except BuildError as error:
        if error.stage is None:
            raise
        return Attempt({f"{BUILD}: {error.stage}": tail(error.message)})
    size = built.size if built is not None else None
    if build_alone:
        return Attempt(size=size)
    broken, report = check(session, variant, times, only=only)
    return Attempt(broken, report, size)


def check(
    session: Session, variant: str, times: Times, *, only: Sequence[str] = ()
) -> tuple[Mapping[str, str], Report | None]:
    """What is broken in the image that was built last, and the report, where there is one."""
    try:
        with times.of("verify"):
            return {}, container.verify(session, variant, only=only)
    except VerifyError as error:
        if error.report is None:
            return {STARTS: tail(error.message)}, None
        failed = (one for one in error.report.results if one.outcome == "failed")
        return {f"{one.tool}: {one.check}": tail(one.output) for one in failed}, error.report


def flaky(session: Session, variant: str, found: Attempt, times: Times) -> tuple[str, ...]:
    """Which of the broken checks pass when they are made again: those are flaky, and not broken."""
    names = set(found.broken)
    if STARTS in names or BUILD in found.tools:
        return ()
    still = set(names)
    for _ in range(REPEATS):
        again, report = check(session, variant, times, only=found.tools)
        still &= set(again) if report is not None else still
        if not still:
            break
    return tuple(sorted(names - still))
