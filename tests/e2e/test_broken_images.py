"""Images that are broken on purpose, on top of the real one: every kind of check finds what it is there for.

Each test breaks several independent things at once and expects exactly the checks that these concern to fail.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from workbench import BIG, ROOT, Done, Silent, broken_image, docker, image

from dsvm import checks
from dsvm.errors import VerifyError
from dsvm.model import Plan, PlannedTool, Report
from dsvm.versions import upstream_version

SITE = "/opt/envs/{env}/lib/python3.11/site-packages"
BASE = SITE.format(env="base")
# What these programs serve or run the other checks with is broken by tests of its own.
NOT_STUBBED = {"code-server", "fonts", "jupyterlab", "jupyterlab-git", "locales", "nbclient", "openblas", "requests"}

Break = Callable[..., str]
# ids of the checks that some broken image failed
caught: set[str] = set()


@pytest.fixture(scope="module")
def plan(cpu_debian: Done) -> Plan:
    return Plan.model_validate_json((ROOT / "build" / BIG / "plan.json").read_bytes())


@pytest.fixture(scope="module")
def spoil(cpu_debian: Done, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Break]:
    """Makes an image by a shell script, and further lines of a Dockerfile, on top of another; returns its name."""
    before = image(f"dsvm/{BIG}")
    made: list[str] = []

    def build(name: str, script: str, *lines: str) -> str:
        tag = f"dsvm-e2e/{name}:latest"
        broken_image(tag, f"dsvm/{BIG}:latest", tmp_path_factory.mktemp(name), textwrap.dedent(script), *lines)
        made.append(tag)
        return tag

    yield build
    if made:
        docker("image", "rm", "--force", *made)
    assert image(f"dsvm/{BIG}") == before, "the real image has changed"


@pytest.fixture
def failed(plan: Plan, tmp_path: Path) -> Callable[..., set[str]]:
    """Verifies an image; ids of the checks that failed."""

    def verify(name: str, *, only: Sequence[str] = (), plan: Plan = plan) -> set[str]:
        report = checks.verify(plan, name, engine_env={}, folder=tmp_path, only=only, progress=Silent())
        found = ids_of(report, "failed")
        caught.update(found)
        return found

    return verify


def ids_of(report: Report, outcome: str) -> set[str]:
    return {f"{result.tool}: {result.check}" for result in report.results if result.outcome == outcome}


def imported(tool: PlannedTool) -> str | None:
    """The Python module that a tool's version is read from."""
    versions = [check.version.run for check in tool.checks if check.version]
    found = re.match(r'python -c "import (\w+);', versions[0])
    return found[1] if found else None


def printed(tool: PlannedTool, command: str, version: str | None = None) -> str:
    """What a stub of one of a tool's commands says: its locked version, or another one."""
    version = version or upstream_version(tool.versions.get(command, tool.version))
    return f"Sudo version {version}" if command == "sudo" else f"{command} {version}"


def only_versions(plan: Plan, *names: str) -> Plan:
    """The plan without the work of some tools' checks, which other tests look at and which takes its time."""
    tools = (
        tool.model_copy(update={"checks": tuple(check for check in tool.checks if check.version)})
        if tool.name in names
        else tool
        for tool in plan.tools
    )
    return plan.model_copy(update={"tools": tuple(tools)})


# --- tools ---------------------------------------------------------------------------------------------------


def test_stubs_that_know_their_version(plan: Plan, spoil: Break, failed: Callable[..., set[str]]) -> None:
    """Every tool but those that serve is replaced by one that has the right version and can do nothing.

    All checks of the image run: whatever is not a stub's work still passes.
    """
    lines = []
    stubbed = [tool for tool in plan.tools if tool.name not in NOT_STUBBED]
    r_versions = " ".join(upstream_version(tool.version) for tool in plan.tools if tool.group == "r")
    for tool in stubbed:
        if module := imported(tool):
            lines.append(f"module {tool.env} {module} {tool.version}")
        elif tool.group != "r":
            lines += [f"command {name} '{printed(tool, name)}'" for name in tool.commands]
    lines += [f"command {name} '{r_versions}'" for name in ("R", "Rscript")]
    work = {case.id for case in checks.planned_checks(plan) if case.kind in ("run", "script")}
    expected = {name for name in work if name.split(": ")[0] in {tool.name for tool in stubbed}}
    expected |= {
        "irkernel: kernel ir runs a notebook",
        "jupyterlab-git: jupyterlab_git_status.py",  # by the stub of git
        "openblas: r_blas_threads.R",  # by the stub of R
    }
    assert failed(spoil("stubs", "\n".join(lines))) == expected


def test_wrong_versions(plan: Plan, spoil: Break, failed: Callable[..., set[str]]) -> None:
    """Every tool works and has another version than the locked one."""
    lines = [
        # a library that says another version of itself, found before the real one
        """echo 'const char *openblas_get_config(void) { return "OpenBLAS 0.0.1"; }' > /tmp/other.c""",
        "gcc -shared -fPIC -o /usr/local/lib/libopenblas.so.0 /tmp/other.c",
        "ldconfig",
    ]
    for tool in plan.tools:
        if module := imported(tool):
            lines.append(f"""echo '__version__ = "0.0.1"' >> {SITE.format(env=tool.env)}/{module}/__init__.py""")
        elif tool.name == "code-server":
            lines.append(
                """
                script /usr/local/bin/code-server <<'END'
                #!/bin/bash
                if [[ $1 == --version ]]; then echo 0.0.1; else exec /opt/code-server/bin/code-server "$@"; fi
                END
                """.replace("                ", "")
            )
        else:
            # R itself still runs the kernel
            lines += [f"command {name} '{printed(tool, name, '0.0.1')}'" for name in tool.commands if name != "R"]
    lines += ["command fc-query 65", "command ldd 'ldd (Debian GLIBC) 0.0.1'"]
    versions = only_versions(plan, *(tool.name for tool in plan.tools))
    expected = {case.id for case in checks.planned_checks(plan) if case.kind == "version"}
    found = failed(
        spoil("versions", "\n".join(lines)), plan=versions, only=[tool.name for tool in plan.tools if tool.checks]
    )
    assert found == expected


# --- the image as a whole ------------------------------------------------------------------------------------


def test_damage_of_many_kinds(plan: Plan, spoil: Break, failed: Callable[..., set[str]]) -> None:
    name = spoil(
        "damage",
        f"""
        rm -r {BASE}/polars {BASE}/polars-*.dist-info
        rm /opt/envs/base/bin/bokeh
        dpkg --remove --force-depends less
        rm -r /opt/code-server/lib/vscode/node_modules/katex
        cd {SITE.format(env="jax")}
        mkdir ghost-1.0.dist-info
        printf 'Metadata-Version: 2.1\\nName: ghost\\nVersion: 1.0\\n' > ghost-1.0.dist-info/METADATA
        sed -i 's/^Version: .*/Version: 1.0/' {SITE.format(env="pytorch")}/torch-*.dist-info/METADATA
        rm -r {SITE.format(env="tensorflow")}/flatbuffers-*.dist-info
        sed -i 's|"jax"|"gone"|' /usr/local/share/jupyter/kernels/jax/kernel.json
        grep -q '"gone"' /usr/local/share/jupyter/kernels/jax/kernel.json
        echo 'export OPENBLAS_NUM_THREADS=1' >> /usr/lib/R/etc/ldpaths
        cp -r /usr/local/share/jupyter/kernels/pytorch /usr/local/share/jupyter/kernels/ghost
        rm -r /usr/share/fonts/truetype/wqy
        rm /usr/lib/locale/locale-archive
        rm /etc/profile.d/dsvm.sh
        sed -i '0,/"summary": "/s//"summary": "Not /' /etc/dsvm/manifest.json

        mv /opt/envs/base/bin/jupyter /opt/envs/base/bin/jupyter-real
        script /opt/envs/base/bin/jupyter <<'END'
        #!/bin/sh
        JUPYTER_TOKEN=known-to-others exec /opt/envs/base/bin/jupyter-real "$@"
        END
        script /usr/local/bin/code-server <<'END'
        #!/bin/bash
        if [[ $1 == --bind-addr=0.0.0.0:8080 ]]; then
            python3 -m http.server --bind 0.0.0.0 --directory /etc/dsvm 9999 &
            (exec -a "watch $PASSWORD" sleep 3600) &
            set -- "${{@/--auth=password/--auth=none}}"
        fi
        exec /opt/code-server/bin/code-server "$@"
        END
        touch /usr/lib/libcudart.so.13
        echo 'import builtins' > {SITE.format(env="pytorch")}/sitecustomize.py
        echo 'import os' > {BASE}/helper.pth
        echo 'alias python=true' >> /home/ds/.bashrc
        echo 'export BASH_ENV=/tmp/x' > /etc/profile.d/zz.sh
        mv /usr/local/bin/dsvm-start /usr/local/bin/dsvm-start-real
        script /usr/local/bin/dsvm-start <<'END'
        #!/bin/sh
        # healthy only once, and content without a token
        if [ "$1" = --health ]; then
            [ ! -e /tmp/asked ] && dsvm-start-real --health && touch /tmp/asked
            exit
        fi
        [ -n "$DSVM_TOKEN" ] && exec dsvm-start-real "$@"
        END
        """,
        "ENV OPENBLAS_NUM_THREADS=1",
        "ENV PYTHONOPTIMIZE=1",
        "STOPSIGNAL SIGKILL",
        f"LABEL org.dsvm.lock={'0' * 64}",
    )
    tools = ["bokeh", "code-server", "fonts", "image", "jax", "jupyterlab", "locales", "openblas", "polars"]
    work = {
        "bokeh: commands on PATH",
        "fonts: fonts_match.sh",
        "jax: kernel jax runs a notebook",
        "locales: locale_utf8.sh",
        "openblas: r_blas_threads.R",
        "polars: version",
        "jupyterlab: accepts the right token",
        "code-server: refuses a client without a token",
        "code-server: refuses a wrong token",
        "image: dsvm-info agrees with the plan",
        "image: exactly the planned kernels",
        "image: health check passes",
        "image: installed packages: base and system",
        "image: installed packages: code-server-npm",
        "image: installed packages: env-base",
        "image: installed packages: env-jax",
        "image: installed packages: env-pytorch",
        "image: installed packages: env-tensorflow",
        "image: no CUDA library",
        "image: nothing unplanned runs when programs start",
        "image: only the planned services listen",
        "image: settings and labels",
        "image: starts nothing without a token",
        "image: token is on no command line",
    }
    # what a terminal of JupyterLab finds
    work |= {case.id for case in checks.planned_checks(plan, ["jupyterlab"]) if case.kind == "run"}
    found = failed(name, only=tools, plan=only_versions(plan, "jax"))
    assert found - work == {one for one in found if one.startswith("polars: run: ")}
    assert work - found == set()


def test_damage_of_other_kinds(plan: Plan, spoil: Break, failed: Callable[..., set[str]]) -> None:
    name = spoil(
        "other",
        f"""
        mkdir -p /tmp/ghost/DEBIAN
        printf '%s\\n' 'Package: ghost' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@localhost>' \\
            'Description: not in the lock' > /tmp/ghost/DEBIAN/control
        dpkg-deb --build /tmp/ghost /tmp/ghost.deb
        dpkg --install /tmp/ghost.deb
        mkdir /opt/code-server/node_modules/ghost
        echo '{{"name": "ghost", "version": "1.0.0"}}' > /opt/code-server/node_modules/ghost/package.json
        find /opt/code-server/lib/vscode/node_modules/@vscode -name rg -delete
        module base nbclient "$(sed -n 's/^Version: //p' {BASE}/nbclient-*.dist-info/METADATA)"
        echo 'Session.request = None' >> {BASE}/requests/__init__.py
        rm -r /opt/envs/base/share/jupyter/lab/static

        mv /opt/envs/base/bin/jupyter /opt/envs/base/bin/jupyter-real
        script /opt/envs/base/bin/jupyter <<'END'
        #!/bin/sh
        exec /opt/envs/base/bin/jupyter-real "$@" --IdentityProvider.token=
        END
        script /usr/local/bin/code-server <<'END'
        #!/bin/bash
        exec /opt/code-server/bin/code-server "${{@/--auth=password/--auth=none}}"
        END
        """,
    )
    tools = ["code-server", "image", "ipywidgets", "irkernel", "jax", "jupyterlab", "jupyterlab-git", "nbclient"]
    tools += ["pytorch", "requests", "tensorflow"]
    assert failed(name, only=tools, plan=only_versions(plan, "jax", "pytorch", "tensorflow")) == {
        "code-server: code_server_app.py",
        "code-server: code_server_native.sh",
        "code-server: refuses a client without a token",
        "code-server: refuses a wrong token",
        "image: installed packages: base and system",
        "image: installed packages: code-server-npm",
        "ipywidgets: ipywidgets_state.py",
        "irkernel: irkernel_execute.py",
        "irkernel: kernel ir runs a notebook",
        "jax: kernel jax runs a notebook",
        "jupyterlab-git: jupyterlab_git_status.py",
        "jupyterlab: jupyterlab_app.py",
        "jupyterlab: kernel python3 runs a notebook",
        "jupyterlab: refuses a client without a token",
        "jupyterlab: refuses a wrong token",
        "nbclient: nbclient_execute.py",
        "pytorch: kernel pytorch runs a notebook",
        "requests: requests_loopback.py",
        "tensorflow: kernel tensorflow runs a notebook",
    }


def test_root_and_a_service_on_another_port(spoil: Break, failed: Callable[..., set[str]]) -> None:
    name = spoil(
        "root",
        """
        echo '{"ServerApp": {"allow_root": true}}' > /etc/jupyter/jupyter_server_config.json
        sed -i 's/8888/8889/' /etc/dsvm/manifest.json
        """,
        "USER root",
    )
    assert failed(name, only=["image", "jupyterlab"]) == {
        "image: dsvm-info agrees with the plan",
        "image: only the planned services listen",
        "image: settings and labels",
        "image: user is ds, not root",
        "jupyterlab: accepts the right token",
        "jupyterlab: answers",
        "jupyterlab: refuses a client without a token",
        "jupyterlab: refuses a wrong token",
    }


def test_an_image_that_ends_at_once(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    name = spoil("ends", """printf '#!/bin/sh\\necho not today\\nexit 3\\n' | script /opt/envs/base/bin/jupyter""")
    with pytest.raises(VerifyError, match=r"(?s)instead of serving.*not today"):
        checks.verify(plan, name, engine_env={}, folder=tmp_path, only=["image"], progress=Silent())
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={name}") == ""


def test_an_image_that_never_answers(plan: Plan, spoil: Break, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = spoil("silent", """printf '#!/bin/sh\\nexec sleep 600\\n' | script /usr/local/bin/code-server""")
    monkeypatch.setattr("dsvm.checks.container.START_TIMEOUT", 10.0)
    with pytest.raises(VerifyError, match=r"(?s)not healthy after 10 s.*code-server does not answer on port 8080"):
        checks.verify(plan, name, engine_env={}, folder=tmp_path, only=["image"], progress=Silent())
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={name}") == ""


def test_every_check_has_failed_once(plan: Plan, request: pytest.FixtureRequest) -> None:
    """What no broken image can fail proves nothing. Runs after the tests above."""
    ran = {item.name for item in request.session.items if item.path == request.path}
    if not {"test_stubs_that_know_their_version", "test_damage_of_many_kinds"} <= ran:
        pytest.skip("the tests that break images were not chosen")
    cases = checks.planned_checks(plan)
    each = {case.id for case in cases if case.kind in ("version", "run", "script", "kernel", "installed")}
    assert each - caught == set()
    assert {case.kind for case in cases} - {case.kind for case in cases if case.id in caught} == set()
