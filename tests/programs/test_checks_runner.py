"""Verification with the real image suite, on an "image" that is this host: a small engine runs all here."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from rich.console import Console

from dsvm.checks.planned import kernels, places, planned_checks
from dsvm.checks.report import STOPS, SURVIVES, failures, summary
from dsvm.container.verification import verify
from dsvm.host import find_engine
from dsvm.ledger.settings import DEFAULT_PATH, ENTRYPOINT, HEALTH, other_settings
from dsvm.model import (
    Base,
    Check,
    CheckResult,
    InputError,
    Kernel,
    Pin,
    Plan,
    PlannedTool,
    Report,
    Section,
    Service,
    Stage,
    Step,
    VerifyError,
)
from dsvm.plan import image_sections
from dsvm.plan.manifest import image_manifest
from dsvm.screen.checks import ConsoleChecks

ZERO = "0" * 64
LOCK = "ab" * 32
PYTHON = platform.python_version()
CONFIG = {
    "User": "ds",
    "Entrypoint": ENTRYPOINT,
    "Healthcheck": HEALTH,
    "Env": [f"PATH={DEFAULT_PATH}"],
    "WorkingDir": "/home/ds",
    "Cmd": None,
    "Volumes": None,
    "OnBuild": None,
    "Labels": {"org.opencontainers.image.title": "small", "dsvm.lock": LOCK},
}

# testinfra's way into a container; everything else goes over the engine's API. What checks do in a home, no home of
# this host's sees: rpm leaves a database there.
FAKE_DOCKER = r"""#!/bin/bash
here=$(dirname "$0")
printf '%s\n' "$*" >> "$here/said"
case "$1" in
  exec) command=${5//\/tmp\/dsvm-checks/$here/tmp/dsvm-checks}
        command=${command//\/home\/ds/$here/home}
        exec /bin/sh -c "${command//'/tmp/dsvm-start-*.json'/$here/begun}" ;;
  *) echo "what is '$*'?" >&2; exit 125 ;;
esac
"""


class Quiet:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.total = 0
        self.heard: list[str] = []

    def step(self, text: str) -> None:
        self.heard.append(text)

    def begin(self, total: int) -> None:
        self.total = total

    def result(self, result: CheckResult) -> None:
        self.heard.append(f"{result.outcome} {result.tool}: {result.check}")

    def end(self) -> None:
        self.heard.append("end")


def tool(name: str, *checks: Any, version: str = PYTHON, **more: Any) -> PlannedTool:
    return PlannedTool(
        name=name,
        summary=f"What {name} does",
        homepage="https://example.org",
        license="MIT",
        group="tools",
        package=name,
        version=version,
        ecosystem="pypi",
        checks=tuple(Check.model_validate(check) for check in checks),
        versions={name: version},
        **more,
    )


def section(section_id: str, ecosystem: str = "pypi", *packages: str, **extra: Any) -> Section:
    pins = tuple(Pin(name=name, version="1", file=name, size=1, sha256=ZERO, registry="r") for name in packages)
    return Section(id=section_id, ecosystem=ecosystem, request=[], input=ZERO, epoch=1, pins=pins, extra=extra)


def stage(name: str, *sections: str, parent: str = "base", output: bool = False) -> Stage:
    steps = (Step(script="install", sections=sections),)
    return Stage(name=name, section=name, title=name, parent=parent, steps=steps, output=output)


def make_plan(*tools: PlannedTool, sections: Sequence[Section] = (), stages: Sequence[Stage] = ()) -> Plan:
    return Plan(
        template=ZERO,
        variant="small",
        summary="A small one",
        accelerator="cpu",
        base=Base(base="debian-12", summary="Debian 12", os="debian", release="12", glibc="2.36", python="3.11"),
        base_kind="bootstrap",
        lock_digest=LOCK,
        epoch=1,
        stages=tuple(stages),
        system="system",
        tools=tools,
        sections=tuple(sections),
    )


Verify = Callable[..., Report]


class Here(FakeEngine):
    """An engine whose one container is this host; `folder` is on PATH and has what the container would."""

    folder: Path

    @property
    def removed(self) -> list[str]:
        return [path.removeprefix("/containers/") for path, _ in self.asked("DELETE", "^/containers/")]

    def execute(self, command: Sequence[str]) -> tuple[int, bytes]:
        words = [word.replace("/tmp/dsvm-start-*.json", f"{self.folder}/begun") for word in command]
        done = subprocess.run(words, capture_output=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """An engine that runs everything on this host."""
    short = Path(tempfile.mkdtemp(prefix="dsvm-unit-", dir="/tmp"))  # for the path of a socket
    here = Here(short / "docker.sock")
    here.folder = here.inside = tmp_path / "engine"
    (here.folder / "tmp").mkdir(parents=True)
    here.run = here.execute
    here.images = {"here:image": {"Id": f"sha256:{ZERO}", "Config": CONFIG}}
    here.logs = b"service | started\ndsvm-start: it ended\n"
    (here.folder / "docker").write_text(FAKE_DOCKER)
    (here.folder / "health").write_text("0")
    (here.folder / "begun").touch()  # its services, in a file that dsvm-start writes
    (here.folder / "dsvm-start").write_text(f'#!/bin/sh\nexit "$(cat {here.folder}/health)"\n')
    for name in ("docker", "dsvm-start"):
        (here.folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{here.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", here.url)
    yield here
    here.close()
    shutil.rmtree(short)


@pytest.fixture
def checked(engine: Here, tmp_path: Path) -> Verify:
    """`verify` on the fake engine, of one tool unless told otherwise."""

    def call(plan: Plan, *, only: Sequence[str] = ("python",), image: str = "here:image", **more: Any) -> Report:
        folder = tmp_path / "manifests"
        (folder / "checks").mkdir(parents=True, exist_ok=True)
        more = {"view": Quiet(), "manifests": [folder], "workers": 2, **more}
        return verify(plan, image, engine=find_engine(), folder=tmp_path / "out", only=only, **more)

    return call


def by_name(report: Report) -> dict[str, CheckResult]:
    return {result.check: result for result in report.results}


# --- what is planned -----------------------------------------------------------------------------------------


def test_every_promise_of_the_plan_becomes_a_check() -> None:
    service = Service(run=("jupyter",), port=8888, token_env="JUPYTER_TOKEN")
    plan = make_plan(
        tool("git", {"version": "git --version"}, {"run": "git init"}, {"run": "git init"}, commands=("git",)),
        tool("jupyter", {"version": "x"}, {"script": "checks/y.py", "alone": True}, service=service, env="base"),
        tool("torch", env="torch", kernel=Kernel(name="torch", display="PyTorch")),
        sections=[
            section("base", "apt"),
            section("system", "apt"),
            section("env-base", "pypi", "ipykernel", env="base"),
        ],
        stages=[stage("system", "system"), stage("env-base", "env-base", output=True)],
    )
    cases = planned_checks(plan)
    ids = [case.id for case in cases]
    assert len(set(ids)) == len(ids)
    assert {
        "git: version",
        "git: commands are found and start",
        "git: run: git init",
        "git: run: git init (2)",
        "jupyter: y.py",
        "jupyter: refuses a wrong token",
        "torch: kernel torch runs a notebook",
        "image: kernel python3 runs a notebook",
        "image: exactly the planned kernels",
        "image: installed packages: base and system",
        "image: installed packages: env-base",
    } <= set(ids)
    assert [case.id for case in cases if case.alone] == [
        "jupyter: y.py",
        "image: only the planned services listen",
        "image: nothing else listens when all checks are done",
    ]
    assert {case.tool for case in planned_checks(plan, ["git", "torch"])} == {"git", "torch"}
    with pytest.raises(InputError, match="no checks for 'gti' in small"):
        planned_checks(plan, ["gti"])


def test_a_kernel_of_a_tool_stands_for_the_native_one() -> None:
    own = tool("jupyter", env="base", kernel=Kernel(name="python3", display="Python"))
    plan = make_plan(own, sections=[section("env-base", "pypi", "ipykernel", env="base")])
    assert [(name, kernel.name, env) for name, kernel, env in kernels(plan)] == [("jupyter", "python3", "base")]


def test_what_only_building_needs_is_not_in_the_image() -> None:
    plan = make_plan(
        sections=[
            section("base", "apt", "dpkg"),
            section("builder-pypi-pypi", "pypi", "uv"),
            section("code-npm", "npm", "code"),
            section("code-build-apt", "apt", "make"),
            section("code-npm-build-pypi", "pypi", "node"),
            section("env-torch", "pypi", "torch"),
            section("runtime-python", "apt", "python3"),
            section("system", "apt", "python3"),
        ],
        stages=[
            stage("runtime-python", "runtime-python"),
            stage("code-build-apt", "code-build-apt"),
            stage("code-npm", "code-npm", "code-npm-build-pypi", parent="code-build-apt", output=True),
            stage("env-torch", "env-torch", "builder-pypi-pypi", parent="runtime-python", output=True),
            stage("system", "system"),
        ],
    )
    inside = ["base", "code-npm", "env-torch", "system"]
    assert [one.id for one in image_sections(plan)] == inside
    assert list(image_manifest(plan)["packages"]) == inside
    # The system packages of one image can only be listed as a whole.
    assert [[one.id for one in together] for together in places(plan)] == [
        ["base", "system"],
        ["code-npm"],
        ["env-torch"],
    ]


# --- what comes out ------------------------------------------------------------------------------------------


def test_all_three_outcomes(checked: Verify, tmp_path: Path) -> None:
    checks = tmp_path / "manifests" / "checks"
    checks.mkdir(parents=True)
    (checks / "good.py").write_text("import helper; helper.work()")
    (checks / "helper.py").write_text("""def work(): print('worked', '{"ok": true}', sep=chr(10))""")
    (checks / "idle.sh").write_text("""echo 4.2.2; echo '{"ok": false}'""")
    (checks / "bad.sh").write_text("echo before; echo 'the loss did not fall' >&2; exit 3")
    (checks / "gpu.py").write_text("""import json, sys; print(json.dumps({"reason": "no GPU"})); sys.exit(77)""")
    plan = make_plan(
        tool(
            "python",
            {"version": "python --version"},
            {"script": "checks/good.py"},
            {"script": "checks/bad.sh"},
            {"script": "checks/idle.sh"},
            {"script": "checks/gpu.py", "alone": True},
            {"run": "echo one; echo two", "expect": "^two$"},
            {"run": "echo three", "expect": "^two$"},
            {"run": "echo begun; sleep 60", "timeout": 1},
            {"run": "pwd; touch here; ls", "expect": "^here$"},
            {"run": 'test "$unset" = ""'},
            commands=("python", "bash", "no-such-program"),
        )
    )
    heard = Quiet()
    report = checked(plan, view=heard)
    found = by_name(report)
    outcomes = {name: result.outcome for name, result in found.items()}
    assert outcomes == {
        "version": "passed",
        "good.py": "passed",
        "bad.sh": "failed",
        "idle.sh": "failed",
        "gpu.py": "not exercised",
        "run: echo one; echo two": "passed",
        "run: echo three": "failed",
        "run: echo begun; sleep 60": "failed",
        "run: pwd; touch here; ls": "passed",
        'run: test "$unset" = ""': "failed",
        "commands are found and start": "failed",
    }
    assert found["bad.sh"].output.endswith("before\nthe loss did not fall")
    assert "exit code 3" in found["bad.sh"].output
    assert 'without a line of JSON that says "ok": true' in found["idle.sh"].output
    assert found["gpu.py"].output == "no GPU"
    assert "no end after 1 s" in found["run: echo begun; sleep 60"].output
    assert "begun" in found["run: echo begun; sleep 60"].output
    assert found["commands are found and start"].output == "not on PATH: no-such-program"
    assert found["good.py"].output == ""
    assert found["good.py"].seconds > 0
    assert Report.model_validate_json(next((tmp_path / "out").glob("report*.json")).read_text()) == report
    assert (report.image, report.lock, report.variant) == (f"sha256:{ZERO}", LOCK, "small")
    assert "test_tools.py" in (tmp_path / "out" / "verify.log").read_text()
    assert heard.total == len(report.results) == 11
    assert "failed python: bad.sh" in heard.heard

    assert heard.heard[-1] == "end"
    assert summary(report, 58.4) == "4 passed, 6 failed, 1 not exercised in 58 s"
    told = failures(report)
    assert "FAILED python: bad.sh\n" in told
    assert "    the loss did not fall" in told
    assert "not exercised python: gpu.py: no GPU" in told


COMMANDS = {
    "speaks": "#!/bin/sh\necho what is that? >&2\nexit 2\n",  # it does not know --version, and has started
    "dead": "#!/no/such/interpreter\n",
    "lost": "#!/usr/bin/env python3\nimport no_such_module\n",
    "hollow": "#!/bin/sh\nexec /no/such/program\n",
    "silent": "#!/bin/sh\n",
    "killed": "#!/bin/sh\nkill -SEGV $$\n",
}


def test_a_command_that_cannot_start_is_named(checked: Verify, engine: Here) -> None:
    for name, text in COMMANDS.items():
        (engine.folder / name).write_text(text)
        (engine.folder / name).chmod(0o755)
    report = checked(make_plan(tool("python", {"version": "python --version"}, commands=tuple(COMMANDS))))
    said = by_name(report)["commands are found and start"].output
    here = engine.folder
    assert f"dead: {here}/dead cannot be run: No such file or directory" in said
    assert f"lost: {here}/lost: ModuleNotFoundError: No module named 'no_such_module'" in said
    assert f"hollow: {here}/hollow: exit code 127" in said and f"silent: {here}/silent says nothing" in said
    assert f"killed: {here}/killed is ended by SIGSEGV" in said and "speaks" not in said


def test_what_died_is_said_before_what_found_it_dead() -> None:
    def result(tool: str, check: str, output: str) -> CheckResult:
        return CheckResult(tool=tool, check=check, outcome="failed", seconds=0.1, output=output)

    dead = "Error response from daemon: container 1f2e is not running"
    report = Report(
        variant="small",
        image=f"sha256:{ZERO}",
        lock=LOCK,
        results=(
            result("a", "version", "another version"),
            *(result("b", f"run: {number}", dead) for number in range(142)),
            result("image", SURVIVES, "the container ended with exit code 137\nout of memory"),
        ),
    )
    lines = failures(report).splitlines()
    assert lines[0] == f"FAILED image: {SURVIVES}"
    assert "    the container ended with exit code 137" in lines
    assert "FAILED a: version" in lines
    assert lines[-1] == "FAILED 142 checks that found it dead: b: run: 0, ..."
    alive = report.model_copy(update={"results": report.results[:-1]})
    assert failures(alive).count("FAILED") == 143


def test_the_version_is_the_locked_one(checked: Verify) -> None:
    expected = {
        ("2.1.0", "tool 2.1.0"): "passed",
        ("1:2.1.0-3+deb12u1", "tool 2.1.0"): "passed",
        ("2.1.0", "tool 12.1.0"): "failed",
        ("2.1.0", "tool 2.1.0.1"): "failed",
        ("2.1.0", ""): "failed",
        ("2.1.0", "tool 2.1.0; exit 1"): "failed",
    }
    tools = {
        f"tool-{number}": tool(f"tool-{number}", {"version": f"echo {printed}"}, version=locked)
        for number, (locked, printed) in enumerate(expected)
    }
    report = checked(make_plan(*tools.values()), only=list(tools))
    found = {result.tool: result.outcome for result in report.results}
    assert found == dict(zip(tools, expected.values(), strict=True))


def test_what_is_installed_is_compared_in_both_directions(checked: Verify, engine: Here) -> None:
    rows = "ii \tdpkg\t1\nii \tbash\t2\nrc \tremoved\t1\nii \textra\t1\n"
    (engine.folder / "dpkg-query").write_text(f"#!/bin/sh\nprintf '{rows}'\n")
    (engine.folder / "dpkg-query").chmod(0o755)
    plan = make_plan(
        sections=[section("base", "apt", "dpkg"), section("system", "apt", "bash", "removed")],
        stages=[stage("system", "system")],
    )
    # Nothing of CUDA is looked for, which would be looked for on all of this host.
    plan = plan.model_copy(update={"accelerator": "gpu"})
    name = "installed packages: base and system"
    faulty = by_name(checked(plan, only=["image"]))[name]
    assert faulty.outcome == "failed"
    assert faulty.output.splitlines()[1:] == ["missing: removed 1", "bash is 2, locked is 1"]
    rows = "ii \tdpkg\t1\nii \tbash\t1\nii \tremoved\t1\nii \textra\t7\n"
    (engine.folder / "dpkg-query").write_text(f"#!/bin/sh\nprintf '{rows}'\n")
    faulty = by_name(checked(plan, only=["image"]))[name]
    assert faulty.output.splitlines() == ["1 packages are not in the lock:", "extra 7"]
    rows = rows.replace("extra", "dpkg").replace("7", "1")
    (engine.folder / "dpkg-query").write_text(f"#!/bin/sh\nprintf '{rows}'\n")
    assert by_name(checked(plan, only=["image"]))[name].outcome == "passed"


def test_an_image_that_does_not_stop_by_itself(checked: Verify, engine: Here) -> None:
    # as above, nothing of CUDA is looked for
    plan = make_plan().model_copy(update={"accelerator": "gpu"})
    assert by_name(checked(plan, only=["image"]))[STOPS].outcome == "passed"
    engine.logs = b"dsvm-start: SIGTERM: stopping\ndsvm-start: jupyterlab did not end in 8 s: killed\n"
    killed = by_name(checked(plan, only=["image"]))[STOPS]
    assert (killed.outcome, "jupyterlab did not end in 8 s" in killed.output) == ("failed", True)
    engine.stops_with = 137
    assert "it ended with exit code 137, not 143" in by_name(checked(plan, only=["image"]))[STOPS].output


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"User": "root"}, "USER: it is 'root', not ds"),
        ({"User": ""}, "USER: it is 'root', not ds"),
        ({"Entrypoint": ["/bin/sh"]}, "ENTRYPOINT: it is ['/bin/sh']"),
        ({"Healthcheck": None}, "HEALTHCHECK: it is None, not {"),
        ({"Healthcheck": HEALTH | {"Interval": 3600 * 10**9}}, "HEALTHCHECK: it is {"),
        ({"Env": [f"PATH={DEFAULT_PATH}", "PYTHONOPTIMIZE=1"]}, "ENV PYTHONOPTIMIZE: it is '1', not None"),
        ({"Env": ["PATH=/evil:/usr/bin"]}, "ENV PATH: it is '/evil:/usr/bin'"),
        ({"Env": []}, "ENV PATH: it is None"),
        ({"StopSignal": "SIGKILL"}, "STOPSIGNAL: it is 'SIGKILL', not None"),
        ({"Volumes": {"/home/ds": {}}}, "VOLUMES: it is {'/home/ds': {}}, not None"),
        ({"WorkingDir": "/tmp"}, "WORKDIR: it is '/tmp', not '/home/ds'"),
        ({"Cmd": ["bash"]}, "CMD: it is ['bash'], not []"),
        ({"OnBuild": ["RUN true"]}, "ONBUILD: it is ['RUN true']"),
        ({"Shell": ["/bin/zsh", "-c"]}, "SHELL: it is ['/bin/zsh', '-c']"),
        ({"ExposedPorts": {"22/tcp": {}}}, "EXPOSE: it is ['22/tcp']"),
        ({"Labels": {"org.opencontainers.image.title": "x"}}, "LABEL: none has the lock's digest"),
        ({"Labels": None}, "LABEL org.opencontainers.image: there is no"),
    ],
)
def test_settings_of_the_image(change: dict[str, Any], fault: str | None) -> None:
    found = [f"{one.path}: {one.what}" for one in other_settings(make_plan(), CONFIG | change)]
    assert (found == []) == (fault is None)
    assert (fault or "") in "\n".join(found)


def test_a_check_that_must_be_alone_is(checked: Verify, tmp_path: Path) -> None:
    # Whoever finds another's mark fails; only the one that must be alone leaves one.
    mark = tmp_path / "mark"
    alone = f"touch {mark}; sleep 0.5; rm {mark}"
    others = [{"run": f"! test -e {mark}; sleep 0.1; ! test -e {mark} # {number}"} for number in range(8)]
    plan = make_plan(tool("python", {"run": alone, "alone": True}, *others))
    report = checked(plan)
    assert (report.count("passed"), report.count("failed")) == (9, 0), failures(report)


# --- secrets and clearing up ---------------------------------------------------------------------------------


def test_the_token_is_on_no_command_line_and_the_container_goes(checked: Verify, engine: Here, tmp_path: Path) -> None:
    checked(make_plan(tool("python", {"run": "echo $DSVM_TOKEN"}, {"run": "echo $DSVM_TOKEN", "expect": "x y"})))
    ((_, asked),) = engine.asked("POST", "^/containers/create$")
    (token,) = (word.removeprefix("DSVM_TOKEN=") for word in asked["Env"] if word.startswith("DSVM_TOKEN="))
    assert len(token) >= 16
    assert token not in (engine.folder / "said").read_text()
    assert token not in (tmp_path / "out" / "verify.log").read_text()
    assert asked["HostConfig"]["NetworkMode"] == "none"
    assert asked["Healthcheck"]["Test"] == ["NONE"]
    assert asked["Labels"]["dsvm.verify"] == "small"
    ((started, _),) = engine.asked("POST", "/start$")[:1]
    assert engine.removed == [started.split("/")[2]]


def test_an_image_that_has_something_where_its_checks_go_is_refused(checked: Verify, engine: Here) -> None:
    """Its own scripts would run in the place of ours."""
    (engine.folder / "tmp/dsvm-checks").mkdir()
    with pytest.raises(VerifyError, match="the image has something at /tmp/dsvm-checks"):
        checked(make_plan(tool("python", {"run": "true"})))
    assert len(engine.removed) == 1


def test_an_image_that_does_not_stay_up(checked: Verify, engine: Here) -> None:
    engine.state = {"Status": "exited", "Running": False, "ExitCode": 2}
    with pytest.raises(VerifyError, match="ended with exit code 2") as caught:
        checked(make_plan(tool("python", {"run": "true"})))
    assert "    service | started\n    dsvm-start: it ended" in caught.value.message
    assert len(engine.removed) == 1


def test_an_image_that_never_gets_healthy(checked: Verify, engine: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsvm.container.verification.START_TIMEOUT", 0.5)
    (engine.folder / "health").write_text("1")
    with pytest.raises(VerifyError, match="not healthy after"):
        checked(make_plan(tool("python", {"run": "true"})))


def test_services_that_have_not_begun_are_waited_for(
    checked: Verify, engine: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is unhealthy yet then, and the image's own health is good."""
    monkeypatch.setattr("dsvm.container.verification.START_TIMEOUT", 0.5)
    service = {"port": 8888, "run": ["serve"], "token_env": "TOKEN"}
    served = tool("python", {"run": "true"}).model_copy(update={"service": Service.model_validate(service)})
    (engine.folder / "begun").unlink()
    with pytest.raises(VerifyError, match="not healthy after"):
        checked(make_plan(served))


def test_an_image_that_is_not_there(checked: Verify) -> None:
    with pytest.raises(VerifyError, match="no image other:image") as caught:
        checked(make_plan(tool("python", {"run": "true"})), image="other:image")
    assert "invoke build --variant small" in caught.value.hint


def test_a_script_that_is_not_there(checked: Verify) -> None:
    with pytest.raises(VerifyError, match=r"check scripts are missing: checks/gone\.py"):
        checked(make_plan(tool("python", {"script": "checks/gone.py"})))


def test_an_overlay_replaces_a_script(checked: Verify, tmp_path: Path) -> None:
    for name, text in (("first", "exit 1"), ("second", """echo '{"ok": true}'""")):
        (tmp_path / name / "checks").mkdir(parents=True)
        (tmp_path / name / "checks" / "one.sh").write_text(text)
    report = checked(
        make_plan(tool("python", {"script": "checks/one.sh"})), manifests=[tmp_path / "first", tmp_path / "second"]
    )
    assert report.count("passed") == 1


def test_lib_of_all_folders_is_one_and_later_folders_win(checked: Verify, tmp_path: Path) -> None:
    modules = {
        ("first", "kept"): "WORD = 'first'",
        ("first", "replaced"): "WORD = 'first'",
        ("second", "replaced"): "WORD = 'second'",
        ("second", "added"): "WORD = 'second'",
    }
    for (folder, name), text in modules.items():
        lib = tmp_path / folder / "checks" / "lib"
        lib.mkdir(parents=True, exist_ok=True)
        (lib / f"{name}.py").write_text(text)
    (tmp_path / "first" / "checks" / "lib" / "__init__.py").touch()
    (tmp_path / "second" / "checks" / "words.py").write_text(
        "import json\nfrom lib import added, kept, replaced\n"
        "found = [kept.WORD, replaced.WORD, added.WORD]\n"
        "print(json.dumps({'ok': found == ['first', 'second', 'second'], 'found': found}))"
    )
    report = checked(
        make_plan(tool("python", {"script": "checks/words.py"})), manifests=[tmp_path / "first", tmp_path / "second"]
    )
    assert report.count("passed") == 1, failures(report)


# --- a suite that breaks off is never a pass -----------------------------------------------------------------


# Kills the Python process that runs the fake docker: a worker of the suite, or the worker's parent.
KILL = """
kill_python() {
  process=$PPID
  while [[ $(readlink "/proc/$process/exe") != *python* ]]; do process=$(ps -o ppid= -p "$process" | tr -d ' '); done
  [[ $1 = worker ]] || process=$(ps -o ppid= -p "$process" | tr -d ' ')
  kill -9 "$process"
}
"""


@pytest.mark.parametrize(
    ("victim", "message"),
    [
        # xdist goes on without a worker, whose check then has no result
        ("worker", "1 of 3 planned checks have no result: python: run: echo KILL"),
        ("suite", "the image suite broke off"),
    ],
)
def test_a_killed_suite_is_no_pass(checked: Verify, engine: Here, victim: str, message: str) -> None:
    killer = FAKE_DOCKER.replace("case", f'{KILL}[[ "$5" != *KILL* ]] || kill_python {victim}\ncase', 1)
    (engine.folder / "docker").write_text(killer)
    plan = make_plan(tool("python", {"version": "python --version"}, {"run": "true"}, {"run": "echo KILL"}))
    with pytest.raises(VerifyError, match=message) as caught:
        checked(plan)
    assert "verify.log" in caught.value.hint
    assert len(engine.removed) == 1


def test_a_users_pytest_settings_have_no_say(checked: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    assert checked(make_plan(tool("python", {"run": "true"}))).count("passed") == 1


# --- progress ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [True, False])
def test_failures_show_at_once(terminal: bool) -> None:
    console = Console(file=open(os.devnull, "w"), record=True, force_terminal=terminal, width=100)  # noqa: PTH123, SIM115
    view = ConsoleChecks(console)
    view.step("Starting [image]")
    view.begin(2)
    view.result(CheckResult(tool="git", check="version", outcome="passed", seconds=0.1))
    view.result(CheckResult(tool="git", check="run: [x]", outcome="failed", seconds=0.2))
    view.end()
    shown = console.export_text()
    assert "Starting [image]" in shown
    assert "failed        git: run: [x] (0.2 s)" in shown
    assert ("passed        git: version" in shown) == (not terminal)
