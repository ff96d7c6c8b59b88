"""How fast images are built: the Python part of an image beside linear Dockerfiles with the same packages.

Everything runs on this machine, one after the other, each build in a fresh private engine and all of them from
the same artefacts: ours out of the store, the others' out of a package index and an apt archive on loopback.
Needs root (for the private engines), and a network for resolving what the comparison adds. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from contenders import Contender, Linear, Ours, careful, unpack_uv, usual, write_linear
from local_archive import serving, write_archive
from packaging.version import Version

from dsvm import ROOT, ecosystems
from dsvm import lock as locks
from dsvm.container import base_layout, image_name, images
from dsvm.ecosystems import Request
from dsvm.host import bundled, run
from dsvm.model import DsvmError, EngineError, InputError, Lock, Pin, Section, canonical_json
from dsvm.plan import make_plan, rendering
from dsvm.session import Session
from dsvm.session.fetching import fetch

OURS, LINEAR = "benchmark-python", "benchmark-linear"
STEPS = {"cold": "cold", "change": "one package changed", "noop": "no-op"}
UNPACKED = 5  # times as large as its artefacts is an image


@dataclass(frozen=True)
class Subject:
    """What all contenders build. `system` holds the packages of ours and those that pip needs beside them."""

    session: Session
    lock: Lock
    changed: Lock
    system: Section
    base: tuple[Path, str]

    @property
    def env(self) -> Section:
        return self.lock.sections[[section.id.startswith("env-") for section in self.lock.sections].index(True)]

    @property
    def room(self) -> int:
        """Bytes that an engine needs for two images, each three times: as a stage, as an archived layer, unpacked."""
        return 2 * 3 * UNPACKED * sum(pin.size for pin in [*self.env.pins, *self.system.pins])

    @property
    def changed_env(self) -> Section:
        return next(section for section in self.changed.sections if section.id == self.env.id)


def main() -> None:
    given = arguments()
    # so that engine and folder go away when the benchmark is ended from outside, by `timeout` for one
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    if os.geteuid() != 0:
        raise InputError("private engines, which the benchmark starts and removes, need root")
    store = Session(progress, progress).store
    store.root.mkdir(parents=True, exist_ok=True)
    # beside the store: one file system, so that artefacts are linked and not copied
    with tempfile.TemporaryDirectory(prefix="bench-", dir=store.root.parent) as temporary:
        work = Path(temporary)
        progress("what is built")
        subject = prepare(work / "catalog", given)
        try:
            result = {
                "machine": host(),
                "subject": describe(subject),
                "commands": measure_commands(given.variant, 5 if given.quick else 20),
                "builds": measure_builds(subject, work, given),
            }
        finally:
            shutil.rmtree(ROOT / "build" / OURS, ignore_errors=True)
    result["machine"]["load at the end"] = round(os.getloadavg()[0], 2)
    print(report(result))
    if given.json:
        given.json.write_text(canonical_json(result))


def arguments() -> argparse.Namespace:
    parser = subject_parser(__doc__)
    parser.add_argument("--only", action="append", help="a contender: dsvm, pip, uv, pip-default, uv-default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to FILE")
    given = parser.parse_args()
    given.runs = 1 if given.quick else given.runs
    return given


def subject_parser(about: str | None) -> argparse.ArgumentParser:
    """Options that say what is built, and how often."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="cpu-debian", help="whose lock the packages come from")
    parser.add_argument("--env", default="base", help="its Python environment that is built")
    parser.add_argument("--change", default="tqdm", help="pure-Python tool that moves to an older version")
    parser.add_argument("--runs", type=int, default=3, help="times that everything is built; medians are shown")
    parser.add_argument("--quick", action="store_true", help="one run of a few packages: does it work?")
    return parser


def progress(line: str) -> None:
    print(f"[{datetime.now(UTC):%H:%M:%S}] {line}", file=sys.stderr, flush=True)


# --- what is built -----------------------------------------------------------------------------------------


def prepare(folder: Path, given: argparse.Namespace) -> Subject:
    """Lock and fetch what is compared: the tools of one environment of a locked variant, as variants of their own."""
    whole = Session(progress, progress)
    locked = locks.find(whole.catalog, given.variant)
    env = locked.section(f"env-{given.env}") if locked else None
    if locked is None or env is None:
        raise InputError(
            f"{given.variant} has no lock with an environment '{given.env}'", hint="Run: invoke lock --variant ..."
        )
    if given.change not in env.tools:
        raise InputError(f"{given.change} is no tool of {given.variant}'s environment '{given.env}'")
    tools = [env.tools[0], given.change] if given.quick else list(env.tools)
    for tool in tools:  # grows while it is read
        tools += [other for other in whole.catalog.tools[tool].requires if other not in tools]
    write_catalog(folder, locked, tools)
    session = Session(progress, progress, overlays=[folder])
    ours, linear = (resolve(session, variant, locked) for variant in (OURS, LINEAR))
    changed = change(ours, older(session, ours, f"env-{given.env}", given.change))
    for one in (ours, linear, changed):
        fetch(session, one)
    layout = base_layout(session, ours, folder / "base.log")
    system = linear.section("system")
    assert system is not None
    return Subject(session, ours, changed, system, layout)


def write_catalog(folder: Path, lock: Lock, tools: Sequence[str]) -> None:
    """Two variants: `tools`, and `tools` with what a Dockerfile needs for pip."""
    pip = {
        "tool": "benchmark-pip",
        "summary": "Debian's own way to pip",
        "homepage": "https://packaging.python.org",
        "license": "MIT",
        "group": "benchmark",
        "sources": [{"apt": ["python3", "python3-venv"]}],
        "checks": [{"version": "python3 --version"}, {"run": "python3 -m venv --help"}],
    }
    variants = {OURS: [*tools], LINEAR: [*tools, "benchmark-pip"]}
    files: dict[str, Any] = {"tools/benchmark-pip": pip}
    for name, chosen in variants.items():
        files[f"variants/{name}"] = {"variant": name, "base": lock.base, "accelerator": "cpu", "tools": chosen}
    for name, data in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data, sort_keys=False))


def resolve(session: Session, variant: str, previous: Lock) -> Lock:
    """The lock of `variant`; what `previous` has in the same words is taken from there."""
    with session.context(variant) as context:
        lock = locks.resolve(session.catalog, variant, context, previous=previous)
    locks.write(locks.lock_path(session.catalog, variant), lock)
    return lock


def older(session: Session, lock: Lock, section_id: str, package: str) -> tuple[str, Pin]:
    """Section and pin of the newest version of `package` that is older than the locked one."""
    section = lock.section(section_id)
    pin = section.pin(package) if section else None
    assert section is not None and pin is not None
    request = Request("older", section_id, ((f"{package} < {Version(pin.version)}",),))
    with session.context(lock.variant) as context:
        pins, _ = ecosystems.get(section.ecosystem).resolve(request, context)
    return section_id, next(pin for pin in pins if pin.name == package)


def change(lock: Lock, to: tuple[str, Pin]) -> Lock:
    """`lock` with one other pin, as locking again gives it: the section's epoch moves too."""
    section_id, new = to
    sections = tuple(
        section.model_copy(
            update={
                "epoch": section.epoch + 60,
                "pins": tuple(new if pin.name == new.name else pin for pin in section.pins),
            }
        )
        if section.id == section_id
        else section
        for section in lock.sections
    )
    return lock.model_copy(update={"sections": sections})


def describe(subject: Subject) -> dict[str, Any]:
    env, now = subject.env, {pin.name: pin.version for pin in subject.changed_env.pins}
    return {
        "wheels": len(env.pins),
        "wheels, bytes": sum(pin.size for pin in env.pins),
        "system packages": len(next(section for section in subject.lock.sections if section.id == "system").pins),
        "changed": [f"{p.name} {p.version} -> {now[p.name]}" for p in env.pins if now[p.name] != p.version],
        "lock": subject.lock.digest,
    }


# --- builds ------------------------------------------------------------------------------------------------


def measure_builds(subject: Subject, work: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Everything `given.runs` times; contenders take turns, so that a machine's moods meet all of them."""
    served = work / "served"
    served.mkdir()
    env, store = subject.env, subject.session.store
    write_archive(served, [*env.pins, *subject.changed_env.pins], subject.system.pins, store)
    with serving(served) as url:
        every = contenders(subject, work, url)
        chosen = [one for one in every if not given.only or one.name in given.only]
        if given.quick and not given.only:
            chosen = [one for one in every if not one.name.endswith("-default")]
        runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in chosen}
        for number in range(given.runs):
            for one in chosen:
                found = measure(one, work, subject.room)
                runs[one.name].append(found)
                shown = ", ".join(f"{step} {found[step]:.1f} s" for step in STEPS)
                progress(f"run {number + 1}, {one.title}: {shown}, {found['size'] / 1e6:.0f} MB")
    return {
        one.name: {
            "title": one.title,
            "runs": runs[one.name],
            "median": {key: statistics.median(run[key] for run in runs[one.name]) for key in (*STEPS, "size")},
        }
        for one in chosen
    }


def contenders(subject: Subject, work: Path, url: str) -> list[Contender]:
    env, session = subject.env, subject.session
    uv = next(pin for section in subject.lock.sections for pin in section.pins if pin.name == "uv")
    contexts = {"base": f"oci-layout://{subject.base[0]}@{subject.base[1]}"}
    with_uv = {**contexts, "uv": str(unpack_uv(session.store.path(uv.sha256), work / "uv-program"))}
    system = next(section for section in subject.lock.sections if section.id == "system")

    def folder(name: str, dockerfile: str, files: Mapping[str, str]) -> Path:
        pins, changed = env.pins, subject.changed_env.pins
        return write_linear(work / name, dockerfile, url=url, pins=pins, changed=changed, files=files)

    a = folder("pip", usual(asked(subject.system)), {"pip.conf": f"[global]\nindex-url = {url}/simple\n"})
    b = folder("uv", careful(asked(system), url), {})
    return [
        Ours(session.catalog, subject.lock, subject.changed),
        Linear("pip", "(a) apt and pip, same export", a, contexts),
        Linear("uv", "(b) apt and uv, same export", b, with_uv),
        Linear("pip-default", "(a) apt and pip, default export", a, contexts, default_export=True),
        Linear("uv-default", "(b) apt and uv, default export", b, with_uv, default_export=True),
    ]


def asked(system: Section) -> list[str]:
    """The packages that a system section was asked for."""
    return list(dict.fromkeys(name for item in system.request["items"] for name in item))


def measure(one: Contender, work: Path, needed: int) -> dict[str, Any]:
    """Seconds of each step, bytes of the image, in an engine that never built anything.

    Raises EngineError when fewer than `needed` bytes are free for it.
    """
    if (free := shutil.disk_usage(work).free) < needed:
        raise EngineError(
            f"{work}: {free / 1e9:.1f} GB are free, an engine of the benchmark may need {needed / 1e9:.1f}"
        )
    one.prepare()
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 2)}
    with fresh_disk(work / "disk", needed) as disk, fresh_engine(disk / "engine") as env:
        found["engine"] = run(["docker", "version", "--format", "{{.Server.Version}}"], env=env).stdout.strip()
        found["cold"] = seconds(lambda: one.build(env, changed=False))
        found["cold, stages"] = one.stages()
        one.settle(env)
        found["noop"] = seconds(lambda: one.build_again(env))
        found["size"] = size(one.image, env)
        found["change"] = seconds(lambda: one.build(env, changed=True))
        found["change, stages"] = one.stages()
    return found


@contextmanager
def fresh_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own, of `size` bytes, mounted at `folder`.

    ext4 passes inodes over that were freed in the last minutes (fs/ext4/ialloc.c, recently_deleted): where an
    engine has just been removed, the next one's files are made at a fraction of the speed.
    """
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size)
    folder.mkdir()
    try:
        run(["mkfs.ext4", "-q", "-F", "-E", "assume_storage_prezeroed=1", image])
        run(["mount", "-o", "loop", image, folder])
        try:
            yield folder
        finally:
            run(["umount", folder], timeout=300)
    finally:
        folder.rmdir()
        image.unlink()


@contextmanager
def fresh_engine(folder: Path) -> Iterator[Mapping[str, str]]:
    """A private engine with empty data; yields the environment that names it."""
    env = {"DSVM_ENGINE_DIR": str(folder), "DOCKER_HOST": f"unix://{folder}/docker.sock"}
    program = ROOT / "scripts" / "engine"
    try:
        run([program, "start"], env=env, timeout=300)
        yield env
    finally:
        run([program, "stop"], env=env, timeout=300, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def seconds(action: Callable[[], object]) -> float:
    """Seconds that `action` takes, with nothing left to write from before."""
    os.sync()
    begun = time.monotonic()
    action()
    return round(time.monotonic() - begun, 3)


def size(image: str, env: Mapping[str, str]) -> int:
    """Bytes of all layers, unpacked."""
    shown = run(["docker", "history", "--human=false", "--format", "{{.Size}}", image], env=env).stdout
    return sum(int(line) for line in shown.split())


# --- commands ----------------------------------------------------------------------------------------------


def measure_commands(variant: str, times: int) -> dict[str, Any]:
    """Seconds of what people wait for without a build, all times that were taken."""
    session = Session(progress, progress)
    locked = locks.find(session.catalog, variant)
    assert locked is not None
    invoke = bundled("invoke")
    found = {"invoke --list": [seconds(lambda: run([invoke, "--list"], cwd=ROOT)) for _ in range(times)]}
    plan = make_plan(session.catalog, locked)
    found[f"render {variant}"] = [precise(lambda: rendering.main_text(plan)) for _ in range(10 * times)]
    found[f"plan and render {variant}"] = [
        precise(lambda: rendering.main_text(make_plan(session.catalog, locked))) for _ in range(times)
    ]
    try:
        label = images.labels(image_name(variant), session.engine).get(f"{rendering.LABELS}.plan")
    except DsvmError:
        label = None
    if label == plan.digest:
        build: list[str | Path] = [invoke, "build", "--variant", variant, "--offline"]
        found[f"invoke build, {variant} up to date"] = [seconds(lambda: run(build, cwd=ROOT)) for _ in range(5)]
    return found


def precise(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return round(time.perf_counter() - begun, 6)


# --- report ------------------------------------------------------------------------------------------------


def host() -> dict[str, Any]:
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    buildx = run(["docker", "buildx", "version"]).stdout.split()
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpu": cpus[0] if cpus else platform.machine(),
        "cores": os.cpu_count(),
        "memory, bytes": memory,
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "buildx": buildx[1] if len(buildx) > 1 else "",
        "python": platform.python_version(),
        "load at the start": round(os.getloadavg()[0], 2),
    }


def report(result: Mapping[str, Any]) -> str:
    """Everything as Markdown."""
    about, subject, builds = result["machine"], result["subject"], result["builds"]
    engine = next(run["engine"] for one in builds.values() for run in one["runs"])
    lines = [
        f"{about['date']}; {about['cpu']}, {about['cores']} cores, {about['memory, bytes'] / 1e9:.0f} GB; "
        f"{about['system']}, Docker Engine {engine}, buildx {about['buildx']}; "
        f"load {about['load at the start']} at the start.",
        f"{subject['wheels']} wheels ({subject['wheels, bytes'] / 1e6:.0f} MB), {subject['system packages']} "
        f"Debian packages; changed: {', '.join(subject['changed'])}. "
        f"Medians of {max(len(one['runs']) for one in builds.values())} runs.",
        "",
        f"| | {' | '.join(STEPS.values())} | size |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for one in builds.values():
        middle = one["median"]
        times = " | ".join(f"{middle[step]:.1f} s" for step in STEPS)
        lines.append(f"| {one['title']} | {times} | {middle['size'] / 1e6:.0f} MB |")
    ours = builds.get("dsvm")
    for name, one in builds.items():
        if ours and name != "dsvm":
            ratios = " | ".join(f"{ours['median'][key] / one['median'][key]:.2f}" for key in (*STEPS, "size"))
            lines.append(f"| {ours['title']} / {one['title']} | {ratios} |")
    lines += ["", "| aim | measured | met |", "| --- | ---: | --- |"]
    lines += [f"| {what} ≤ {limit} {unit} | {value:.3g} {unit} | {'yes' if value <= limit else 'no'} |"
              for what, value, limit, unit in aims(result)]  # fmt: skip
    return "\n".join(lines).replace("  |", " |")


def aims(result: Mapping[str, Any]) -> Iterator[tuple[str, float, float, str]]:
    """What is measured against an aim: (what, value, limit, unit)."""
    middle = {name: one["median"] for name, one in result["builds"].items()}
    if "dsvm" in middle:
        for other, step, limit in (("pip", "cold", 0.5), ("uv", "cold", 1.0), ("pip", "change", 0.2)):
            for name in (other, f"{other}-default"):
                if name in middle:
                    title = f"{STEPS[step]} / {result['builds'][name]['title']}"
                    yield title, middle["dsvm"][step] / middle[name][step], limit, ""
        yield "no-op `invoke build`", middle["dsvm"]["noop"], 2, "s"
    for command, values in result["commands"].items():
        if command == "invoke --list":
            yield f"`{command}`", statistics.median(values), 0.4, "s"
        elif command.startswith("invoke build"):
            yield f"`{command}`", statistics.median(values), 2, "s"
        else:
            yield command, statistics.median(values) * 1000, 50, "ms"


if __name__ == "__main__":
    try:
        main()
    except DsvmError as error:
        sys.exit(str(error))
