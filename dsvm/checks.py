"""Plan -> testinfra run on the started image -> Report."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dsvm import ecosystems
from dsvm.engine import gpu_options
from dsvm.errors import InputError, ProgramError, VerifyError
from dsvm.model import Check, CheckResult, Kernel, Outcome, Plan, Report, Section, canonical_json
from dsvm.report import image_sections
from dsvm.run import run, stream, tail

REPOSITORY = Path(__file__).resolve().parent.parent
SUITE = REPOSITORY / "tests" / "image"
MANIFESTS = REPOSITORY / "manifests"
# Where a started image has the check scripts, in its own file system.
SCRIPTS_INSIDE = "/tmp/dsvm-checks"  # noqa: S108
ENTRYPOINT = ["/usr/bin/tini", "-g", "--", "/usr/local/bin/dsvm-start"]
IMAGE = "image"  # stands for a tool where a check is about the image as a whole
MACHINE = "machine"  # the same where only a machine has it
START_TIMEOUT = 180.0  # seconds until every service must answer
KEPT_OUTPUT = 20_000  # characters of a failure's output in the report


# --- what is checked -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One check of an image. Function `test_KIND` of the suite does it."""

    kind: str
    tool: str
    name: str
    check: Check | None = None
    kernel: Kernel | None = None
    env: str | None = None
    sections: tuple[str, ...] = ()
    alone: bool = False
    # in a machine that has been restarted, when all others are done
    restarted: bool = False

    @property
    def id(self) -> str:
        return f"{self.tool}: {self.name}"


def planned_checks(plan: Plan, only: Sequence[str] = ()) -> tuple[Case, ...]:
    """Everything to be checked, each with an id of its own; only of the tools in `only` when it names any."""
    found = [*_of_tools(plan), *_of_kernels(plan), *_of_services(plan), *_of_image(plan), *_of_machine(plan)]
    cases = list(_number_twins(found))
    known = {case.tool for case in cases}
    if unknown := [name for name in only if name not in known]:
        raise InputError(
            [f"no checks for '{name}' in {plan.variant}" for name in unknown],
            hint=f"There are checks for: {', '.join(sorted(known))}",
        )
    return tuple(case for case in cases if not only or case.tool in only)


def _of_tools(plan: Plan) -> Iterator[Case]:
    for tool in plan.tools:
        if tool.commands:
            yield Case("commands", tool.name, "commands on PATH")
        for check in tool.checks:
            if check.version is not None:
                package = check.version.package
                name = f"version of {package}" if package else "version"
                yield Case("version", tool.name, name, check, env=tool.env, alone=check.alone)
            elif check.run is not None:
                yield Case("run", tool.name, f"run: {_short(check.run)}", check, env=tool.env, alone=check.alone)
            elif check.script is not None:
                name = check.script.removeprefix("checks/")
                yield Case("script", tool.name, name, check, env=tool.env, alone=check.alone)


def _of_kernels(plan: Plan) -> Iterator[Case]:
    for tool, kernel, env in kernels(plan):
        yield Case("kernel", tool, f"kernel {kernel.name} runs a notebook", kernel=kernel, env=env)


def kernels(plan: Plan) -> tuple[tuple[str, Kernel, str | None], ...]:
    """All Jupyter kernels of the image: tool, kernel, and its environment when it is an ipykernel of one."""
    found = [
        (tool.name, tool.kernel, tool.env if not tool.kernel.argv else None)
        for tool in plan.tools
        if tool.kernel is not None
    ]
    # An ipykernel beside Jupyter itself is a kernel that needs no kernelspec of ours.
    native = any(section.extra.get("env") == "base" and section.pin("ipykernel") for section in plan.sections)
    if native and all(kernel.name != "python3" for _, kernel, _ in found):
        found.append((IMAGE, Kernel(name="python3", display="Python 3"), "base"))
    return tuple(found)


def _of_services(plan: Plan) -> Iterator[Case]:
    for name in plan.services:
        yield Case("service_answers", name, "answers")
        yield Case("service_refuses_no_token", name, "refuses a client without a token")
        yield Case("service_refuses_wrong_token", name, "refuses a wrong token")
        yield Case("service_accepts_token", name, "accepts the right token")


def _of_image(plan: Plan) -> Iterator[Case]:
    yield Case("user", IMAGE, "user is ds, not root")
    yield Case("info", IMAGE, "dsvm-info agrees with the plan")
    yield Case("health", IMAGE, "health check passes")
    if plan.services:
        yield Case("needs_token", IMAGE, "starts nothing without a token")
        yield Case("hidden_token", IMAGE, "token is on no command line")
    # Another check may open a port for itself.
    yield Case("ports", IMAGE, "only the planned services listen", alone=True)
    if kernels(plan):
        yield Case("kernelspecs", IMAGE, "exactly the planned kernels")
    yield from _of_cuda(plan)
    for sections in places(plan):
        ids = tuple(section.id for section in sections)
        yield Case("installed", IMAGE, f"installed packages: {' and '.join(ids)}", sections=ids)


def _of_cuda(plan: Plan) -> Iterator[Case]:
    """A CPU image has nothing of CUDA, and a GPU image no environment with two of them."""
    if plan.accelerator == "cpu":
        yield Case("no_cuda", IMAGE, "no CUDA library")
        return
    for section in plan.sections:
        if section.id.startswith("env-") and any(pin.name.startswith("nvidia-") for pin in section.pins):
            env = str(section.extra["env"])
            yield Case("one_cuda", IMAGE, f"one CUDA in environment {env}, and it loads", env=env)


def _of_machine(plan: Plan) -> Iterator[Case]:
    """What only a booted machine can show."""
    if plan.machine is None:
        return
    yield Case("machine_up", MACHINE, "reaches its login target, no unit failed")
    yield Case("machine_users", MACHINE, "user and key of the seed, and only these")
    yield Case("machine_disk", MACHINE, "root has grown to the disk's size")
    yield Case("machine_time", MACHINE, "keeps its time synchronised")
    yield Case("machine_firewall", MACHINE, "firewall lets in SSH and nothing else", alone=True)
    yield Case("machine_clean", MACHINE, "nothing of the build is left")
    yield Case("machine_kernel", MACHINE, "modules of the kernel that runs are whole")
    yield Case("machine_restart", MACHINE, "is up again after a restart, no unit failed", restarted=True)
    if plan.services:
        yield Case("machine_services", MACHINE, "services are up again after a restart", restarted=True)


def places(plan: Plan) -> tuple[tuple[Section, ...], ...]:
    """The sections in the image, those together whose packages lie in one place and can only be listed as one."""
    found: dict[tuple[str, ...], list[Section]] = {}
    for section in image_sections(plan):
        shared = ecosystems.get(section.ecosystem).placement == "system"
        found.setdefault((section.ecosystem,) if shared else (section.ecosystem, section.id), []).append(section)
    return tuple(map(tuple, found.values()))


def _short(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _number_twins(cases: Sequence[Case]) -> Iterator[Case]:
    """Give the second of two checks with one name a number, so that every result has one check."""
    seen: Counter[str] = Counter()
    for case in cases:
        seen[case.id] += 1
        number = seen[case.id]
        yield case if number == 1 else Case(**{**vars(case), "name": f"{case.name} ({number})"})


# --- progress ------------------------------------------------------------------------------------------------


class Watcher(Protocol):
    """Hears how a verification goes on."""

    def step(self, text: str) -> None: ...

    def begin(self, total: int) -> None: ...

    def result(self, result: CheckResult) -> None: ...

    def end(self) -> None: ...


class ConsoleWatcher:
    """Live counts on a terminal, a line for each check otherwise; failures show at once in both."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.counts: Counter[Outcome] = Counter()
        self.bar: Progress | None = None

    def step(self, text: str) -> None:
        self.console.print(text, markup=False)

    def begin(self, total: int) -> None:
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("Checking"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self.bar.add_task("", total=total)

    def result(self, result: CheckResult) -> None:
        self.counts[result.outcome] += 1
        line = f"{result.outcome:<13} {result.tool}: {result.check} ({result.seconds:.1f} s)"
        if self.bar is None:
            self.console.print(line, markup=False, soft_wrap=True)
            return
        if result.outcome == "failed":
            self.bar.console.print(line, markup=False, style="red")
        failed = self.counts["failed"]
        said = f"{self.counts['passed']} passed, [{'red' if failed else 'default'}]{failed} failed[/]"
        self.bar.update(self.bar.task_ids[0], advance=1, description=said)

    def end(self) -> None:
        if self.bar is not None:
            self.bar.stop()


# --- verification --------------------------------------------------------------------------------------------


def verify(
    plan: Plan,
    image: str,
    *,
    engine_env: Mapping[str, str],
    folder: Path,
    only: Sequence[str] = (),
    manifests: Sequence[Path] = (MANIFESTS,),
    workers: int | None = None,
    progress: Watcher | None = None,
) -> Report:
    """Start `image` with networking off, run every planned check in it and remove it again.

    `engine_env` says which engine (DOCKER_HOST), `manifests` where check scripts are (later folders win), `only`
    limits to some tools. Writes its report and verify.log in `folder`. A failed check is in the report;
    VerifyError means that the verification itself failed: the image does not start, the suite breaks off, a check
    has no result.
    """
    cases = planned_checks(plan, only)
    watcher = progress or ConsoleWatcher()
    folder.mkdir(parents=True, exist_ok=True)
    settings = _inspect(image, plan, engine_env)
    token = secrets.token_urlsafe(24)
    watcher.step(f"Starting {image}")
    with _started(image, token, engine_env, serves=bool(plan.services), gpu=plan.accelerator == "gpu") as container:
        with staged_scripts(cases, manifests) as scripts:
            _docker(engine_env, "cp", str(scripts), f"{container}:{SCRIPTS_INSIDE}")
        _wait_until_healthy(container, engine_env)
        results = [check_settings(plan, settings["Config"])] if not only or IMAGE in only else []
        watcher.begin(len(cases) + len(results))
        try:
            for result in results:
                watcher.result(result)
            results += run_suite(
                cases,
                plan,
                [f"--hosts=docker://{container}"],
                {**engine_env, "DSVM_TOKEN": token},
                folder=folder,
                workers=workers,
                watcher=watcher,
            )
        finally:
            watcher.end()
    report = make_report(plan, settings["Id"], results)
    write_report(folder, report, only)
    return report


def make_report(
    plan: Plan, image: str, results: Sequence[CheckResult], facts: Mapping[str, str] | None = None
) -> Report:
    return Report(
        variant=plan.variant,
        image=image,
        lock=plan.lock_digest,
        results=tuple(sorted(results, key=lambda result: (result.tool, result.check))),
        left_out=plan.left_out,
        facts=dict(facts or {}),
    )


def write_report(folder: Path, report: Report, only: Sequence[str] = ()) -> None:
    _write(folder / report_name(only), canonical_json(report))


def report_name(only: Sequence[str] = ()) -> str:
    """File name of a report: one about some tools does not take the place of the whole one."""
    return "report-some.json" if only else "report.json"


def summary(report: Report, seconds: float | None = None) -> str:
    """For example '124 passed, 0 failed, 3 not exercised in 58 s'."""
    outcomes: tuple[Outcome, ...] = ("passed", "failed", "not exercised")
    counts = ", ".join(f"{report.count(outcome)} {outcome}" for outcome in outcomes)
    return counts if seconds is None else f"{counts} in {seconds:.0f} s"


def failures(report: Report) -> str:
    """Every failed check with the end of its output, and every one not exercised with its reason."""
    blocks = [
        f"FAILED {result.tool}: {result.check}\n{tail(result.output)}"
        for result in report.results
        if result.outcome == "failed"
    ]
    blocks += [
        f"not exercised {result.tool}: {result.check}: {result.output}"
        for result in report.results
        if result.outcome == "not exercised"
    ]
    return "\n".join(blocks)


def _docker(engine_env: Mapping[str, str], *args: str, timeout: float = 120) -> str:
    return run(["docker", *args], env=engine_env, timeout=timeout).stdout.strip()


def _inspect(image: str, plan: Plan, engine_env: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        settings: Mapping[str, Any] = json.loads(_docker(engine_env, "image", "inspect", image))[0]
    except ProgramError as error:
        if "no such image" not in error.output.lower():
            raise
        hint = f"Run: invoke build --variant {plan.variant}"
        raise VerifyError(f"the engine has no image {image}", hint=hint) from error
    return settings


@contextmanager
def _started(image: str, token: str, engine_env: Mapping[str, str], *, serves: bool, gpu: bool) -> Iterator[str]:
    """A running container of `image`, by name; it is gone afterwards, whatever happens.

    An image that serves nothing is kept running by a command that does nothing.
    """
    name = f"dsvm-verify-{secrets.token_hex(6)}"
    try:
        run(
            [
                *("docker", "run", "--detach", "--name", name, "--label", "dsvm.verify"),
                *("--network", "none", "--shm-size", "1g", "--no-healthcheck"),
                *(gpu_options(engine_env) if gpu else []),
                # The value comes from docker's own environment: process lists show command lines.
                *("--env", "DSVM_TOKEN", image),
                *([] if serves else ["sleep", "infinity"]),
            ],
            env={**engine_env, "DSVM_TOKEN": token},
            timeout=600,
        )
        yield name
    except ProgramError as error:
        raise VerifyError(f"{image} cannot be verified: {error.message}", hint=error.hint) from error
    finally:
        run(["docker", "rm", "--force", "--volumes", name], env=engine_env, timeout=120, check=False)


@contextmanager
def staged_scripts(cases: Sequence[Case], manifests: Sequence[Path]) -> Iterator[Path]:
    """A folder with the check scripts and what stands beside them, readable for everybody."""
    with tempfile.TemporaryDirectory(prefix="dsvm-checks-") as scratch:
        staged = Path(scratch) / "checks"
        staged.mkdir()
        for manifest_folder in manifests:
            if (manifest_folder / "checks").is_dir():
                shutil.copytree(
                    manifest_folder / "checks",
                    staged,
                    dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("__pycache__"),
                )
        scripts = {case.check.script for case in cases if case.check and case.check.script}
        if missing := sorted(name for name in scripts if not (staged / name.removeprefix("checks/")).is_file()):
            raise VerifyError(
                f"check scripts are missing: {', '.join(missing)}",
                hint=f"Looked in {', '.join(map(str, manifests))}",
            )
        for path in (staged, *staged.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield staged


def _wait_until_healthy(container: str, engine_env: Mapping[str, str]) -> None:
    """Wait until every service answers. Asks by itself, as the image's own health check comes too seldom."""
    end = time.monotonic() + START_TIMEOUT
    while True:
        state = json.loads(_docker(engine_env, "inspect", "--format", "{{json .State}}", container))
        if not state["Running"]:
            raise VerifyError(
                f"the image ended with exit code {state['ExitCode']} instead of serving:\n"
                + tail(_log(container, engine_env), lines=25),
                hint="See what it says: docker run --rm -e DSVM_TOKEN IMAGE",
            )
        asked = run(
            ["docker", "exec", container, "/usr/local/bin/dsvm-start", "--health"],
            env=engine_env,
            timeout=60,
            check=False,
        )
        if asked.returncode == 0:
            return
        if time.monotonic() > end:
            raise VerifyError(
                f"the image is not healthy after {START_TIMEOUT:.0f} s: {(asked.stdout + asked.stderr).strip()}\n"
                + tail(_log(container, engine_env), lines=25)
            )
        time.sleep(0.3)


def _log(container: str, engine_env: Mapping[str, str]) -> str:
    with stream(["docker", "logs", "--tail", "100", container], env=engine_env) as (lines, wait):
        text = "".join(lines)
        wait()
    return text


def check_settings(plan: Plan, config: Mapping[str, Any]) -> CheckResult:
    """What the engine will do with the image: its user, entry point, health check, ports and labels."""
    started = time.monotonic()
    health = (config.get("Healthcheck") or {}).get("Test") or []
    ports = sorted(config.get("ExposedPorts") or {})
    planned = sorted(f"{service.port}/tcp" for service in plan.services.values())
    labels = config.get("Labels") or {}
    faults = [
        *(
            [f"user is {config.get('User') or 'root'!r}, not ds"]
            if config.get("User") not in ("ds", "1000", "1000:1000")
            else []
        ),
        *([f"entry point is {config.get('Entrypoint')}"] if config.get("Entrypoint") != ENTRYPOINT else []),
        *([f"health check is {health}"] if not " ".join(health).endswith("dsvm-start --health") else []),
        *([f"exposed ports are {ports}, not {planned}"] if ports != planned else []),
        *([] if any(plan.lock_digest in label for label in labels.values()) else ["no label has the lock's digest"]),
        *([] if any(key.startswith("org.opencontainers.image.") for key in labels) else ["no OCI labels"]),
    ]
    return CheckResult(
        tool=IMAGE,
        check="settings and labels",
        outcome="failed" if faults else "passed",
        seconds=round(time.monotonic() - started, 3),
        output="\n".join(faults),
    )


def run_suite(
    cases: Sequence[Case],
    plan: Plan,
    hosts: Sequence[str],
    env: Mapping[str, str],
    *,
    folder: Path,
    workers: int | None,
    watcher: Watcher,
    settings: Mapping[str, Any] | None = None,
    log: str = "verify.log",
) -> list[CheckResult]:
    """Run checks on a started image; `hosts` are testinfra's options that lead to it.

    `env` has its token as DSVM_TOKEN, `settings` are for the suite's harness. Raises VerifyError when the suite
    breaks off or a check has no result.
    """
    return list(_suite(cases, plan, hosts, env, folder / log, workers, watcher, settings or {}).values())


def _suite(
    cases: Sequence[Case],
    plan: Plan,
    hosts: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    workers: int | None,
    watcher: Watcher,
    settings: Mapping[str, Any],
) -> dict[str, CheckResult]:
    if not SUITE.is_dir():
        raise VerifyError(f"{SUITE}: no such folder", hint="Run DSVM from a checkout of its repository")
    token = env["DSVM_TOKEN"]
    with tempfile.TemporaryDirectory(prefix="dsvm-verify-") as scratch:
        work = Path(scratch)
        (work / "plan.json").write_text(canonical_json(plan), encoding="utf-8")
        (work / "cases.json").write_text(json.dumps([case.id for case in cases]), encoding="utf-8")
        (work / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        lines = work / "results.jsonl"
        lines.touch()
        count = workers or max(2, min(os.cpu_count() or 2, 8))
        argv = [
            *(sys.executable, "-m", "pytest", str(SUITE), "--verbose", "-p", "no:cacheprovider"),
            # These two plugins and no others that may be installed.
            *("-p", "xdist.plugin", "-p", "testinfra.plugin"),
            *("--numprocesses", str(count), "--dist", "loadgroup", *hosts),
        ]
        env = {
            **env,
            "DSVM_VERIFY": str(work),
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            # ecosystems from outside may be on it
            "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))),
        }
        reader = _ResultReader(lines, cases, watcher)
        with log.open("w", encoding="utf-8") as file, stream(argv, env=env, cwd=SUITE) as (output, wait):
            for line in output:
                file.write(line.replace(token, "[token]"))
                reader.read()
            code = wait()
        reader.read()
    # 0: all passed, 1: some failed. Anything else is a suite that broke off.
    if code not in (0, 1):
        raise VerifyError(
            f"the image suite broke off (pytest exit code {code}):\n{tail(log.read_text(encoding='utf-8'))}",
            hint=f"Full output: {log}",
        )
    if missing := [case.id for case in cases if case.id not in reader.found]:
        raise VerifyError(
            f"{len(missing)} of {len(cases)} planned checks have no result: {', '.join(missing[:5])}"
            + (" ..." if len(missing) > 5 else ""),
            hint=f"Full output: {log}",
        )
    return reader.found


class _ResultReader:
    """Follows the file that the suite writes one JSON line into for each outcome."""

    def __init__(self, path: Path, cases: Sequence[Case], watcher: Watcher) -> None:
        self.path = path
        self.cases = {case.id: case for case in cases}
        self.watcher = watcher
        self.offset = 0
        self.found: dict[str, CheckResult] = {}

    def read(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break  # still being written
                self.offset += len(raw)
                self._take(json.loads(raw))

    def _take(self, line: Mapping[str, Any]) -> None:
        case = self.cases[line["id"]]
        result = CheckResult(
            tool=case.tool,
            check=case.name,
            outcome=line["outcome"],
            seconds=round(line["seconds"], 3),
            output=line["output"][-KEPT_OUTPUT:],
        )
        earlier = self.found.get(case.id)
        # A check that passed can still fail while it is cleaned up after.
        if earlier is None or (earlier.outcome != "failed" and result.outcome == "failed"):
            self.found[case.id] = result
        if earlier is None:
            self.watcher.result(result)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
