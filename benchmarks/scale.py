"""What it costs to build on machines that never built anything, with a cache of layers in a registry.

Measures five builds of the Python part of an image (see build.py) in private engines on file systems of their own, and
writes the figures and the page that is computed from them. Needs root, and Debian's docker-registry.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from build import OURS, Subject, fresh_disk, fresh_engine, host, prepare, progress, seconds, size, subject_parser
from contenders import Ours
from local_registry import serving_registry
from scaling import Measured, Step, page

from dsvm import ROOT
from dsvm.container import image_name
from dsvm.model import DsvmError, InputError, canonical_json
from dsvm.session import Session

FIGURES, PAGE = ROOT / "benchmarks/scale.json", ROOT / "docs/scale.md"


def main() -> None:
    given = arguments()
    if not given.compute:
        if os.geteuid() != 0:
            raise InputError("private engines, which the benchmark starts and removes, need root")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
        FIGURES.write_text(canonical_json(measure(given)))
    PAGE.write_text(page(Measured.model_validate_json(FIGURES.read_bytes())))


def arguments() -> argparse.Namespace:
    parser = subject_parser(__doc__)
    parser.add_argument("--compute", action="store_true", help="only write the page, from the figures that there are")
    given = parser.parse_args()
    given.runs = 1 if given.quick else given.runs
    return given


def measure(given: argparse.Namespace) -> Measured:
    store = Session(progress, progress).store
    store.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=store.root.parent) as temporary:
        work = Path(temporary)
        subject = prepare(work / "catalog", given)
        about = host()
        try:
            runs = [_one(subject, work / f"run-{number}") for number in range(given.runs)]
        finally:
            shutil.rmtree(ROOT / "build" / OURS, ignore_errors=True)
    steps = {name: _median([one[name] for one, _ in runs]) for name in runs[0][0]}
    pins = {pin.sha256: pin.size for section in subject.lock.sections for pin in section.pins}
    return Measured(
        machine=f"{about['date'][:10]}, {about['cpu']}, {about['cores']} cores, buildx {about['buildx']}, "
        f"load {about['load at the start']}",
        subject=f"The tools of the environment {given.env} of {given.variant}: {len(subject.env.pins)} wheels",
        runs=given.runs,
        fetched=sum(pins.values()),
        size=runs[0][1],
        **steps,
    )


def _median(steps: list[Step]) -> Step:
    return sorted(steps, key=lambda one: one.seconds)[len(steps) // 2]


def _one(subject: Subject, work: Path) -> tuple[dict[str, Step], int]:
    """Every step once, and the bytes of the image, unpacked."""
    work.mkdir()
    needed = subject.room
    found: dict[str, Step] = {}
    with serving_registry(work / "registry") as registry:
        place = f"{registry.host}/bench/cache"

        def step(name: str, env: Mapping[str, str], *, changed: bool = False, options: tuple[str, ...] = ()) -> None:
            ours = Ours(subject.session.catalog, subject.lock, subject.changed, options=options)
            sent, stored = registry.sent(), registry.stored()
            taken = seconds(lambda: ours.build(env, changed=changed))
            found[name] = Step(seconds=taken, pulled=registry.sent() - sent, pushed=registry.stored() - stored)
            moved = f"{found[name].pulled / 1e6:.0f} MB pulled, {found[name].pushed / 1e6:.0f} MB pushed"
            progress(f"{name}: {taken:.1f} s, {moved}")

        with _empty(work, needed) as env:
            step("cold", env)
            image_size = size(image_name(subject.lock.variant, "unverified"), env)
            step("again", env, changed=True)
        with _empty(work, needed) as env:
            step("shared", env, options=("--cache-to", place))
        with _empty(work, needed) as env:
            step("elsewhere", env, options=("--cache-from", place))
        with _empty(work, needed) as env:
            step("other", env, changed=True, options=("--cache-from", place))
    return found, image_size


@contextmanager
def _empty(work: Path, needed: int) -> Iterator[Mapping[str, str]]:
    """An engine that never built anything, and no folder of an earlier build."""
    shutil.rmtree(ROOT / "build" / OURS, ignore_errors=True)
    with fresh_disk(work / "disk", needed) as disk, fresh_engine(disk / "engine") as env:
        yield env


if __name__ == "__main__":
    try:
        main()
    except DsvmError as error:
        sys.exit(str(error))
