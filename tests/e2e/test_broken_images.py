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
from dsvm.checks.planned import ASKS, GREETS
from dsvm.checks.report import failures
from dsvm.container.verification import verify
from dsvm.host import find_engine
from dsvm.model import Plan, PlannedTool, Report, VerifyError, upstream_version

SITE = "/opt/envs/{env}/lib/python3.11/site-packages"
BASE = SITE.format(env="base")
# What these programs serve or run the other checks with is broken by tests of its own.
NOT_STUBBED = {"code-server", "fonts", "jupyterlab", "jupyterlab-git", "locales", "nbclient", "openblas", "requests"}

# checks of dsvm-start with services of their own
STARTS = {
    "image: dsvm-start refuses what it cannot do",
    "image: dsvm-start starts the chosen services, with a token in a file",
}
OTHER_START = "lets in nobody with a token or cookies of another start"
START = "commands are found and start"
SCRIPTS = "every script of its pages is served"
PROCESS = "runs as the plan says"
SETTINGS = "has the planned settings and extensions"
PAGE = "shows the start page"

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

    def verified(name: str, *, only: Sequence[str] = (), plan: Plan = plan) -> set[str]:
        report = verify(plan, name, engine=find_engine(), folder=tmp_path, only=only, view=Silent())
        found = ids_of(report, "failed")
        caught.update(found)
        return found

    return verified


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
    work |= {case.id for case in checks.planned_checks(plan) if case.kind in ("network", "notebook")}
    expected = {name for name in work if name.split(": ")[0] in {tool.name for tool in stubbed}}
    # a module that knows its version alone has nothing that its command could begin with
    expected |= {f"{tool.name}: {START}" for tool in stubbed if tool.commands and imported(tool)}
    expected |= {
        "irkernel: kernel ir runs a notebook",
        "jupyterlab-git: jupyterlab_git_status.py",  # by the stub of git
        "openblas: r_blas_threads.R",  # by the stub of R
        *(f"jupyterlab: {check}" for check in (SCRIPTS, SETTINGS)),  # by the stub of notebook, which has a page there
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
    # by commands that do nothing but say their version
    idle = {"curl", "git", "julia", "openjdk", "r"}
    expected |= {case.id for case in checks.planned_checks(plan, [*idle]) if case.kind == "network"}
    expected.add(f"jupyterlab: {SETTINGS}")  # nbdime, an extension of its server, does not load with such a git
    found = failed(
        spoil("versions", "\n".join(lines)), plan=versions, only=[tool.name for tool in plan.tools if tool.checks]
    )
    # notebooks may need no version of anything
    assert found - {case.id for case in checks.planned_checks(plan) if case.kind == "notebook"} == expected


def test_commands_that_cannot_start(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    """Each is on PATH: a library of one is gone, another's interpreter, a module of a third one."""
    name = spoil(
        "unstartable",
        f"""
        rm /usr/lib/*/librhash.so.0
        sed -i '1s|.*|#!/nowhere/python|' /opt/envs/base/bin/bokeh
        echo 'import no_such_module' > {BASE}/tqdm/cli.py
        """,
    )
    tools = ["bokeh", "build-tools", "tqdm"]
    kept = only_versions(plan, *tools)
    report = verify(kept, name, engine=find_engine(), folder=tmp_path, only=tools, view=Silent())
    caught.update(ids_of(report, "failed"))
    said = {one.tool: one.output for one in report.results if one.check == START}
    assert "bokeh: /opt/envs/base/bin/bokeh cannot be run" in said["bokeh"]
    assert "cmake: /usr/bin/cmake: exit code 127: /usr/bin/cmake: error while loading" in said["build-tools"]
    assert "tqdm: /opt/envs/base/bin/tqdm: ModuleNotFoundError: No module named" in said["tqdm"]


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
        f"bokeh: {START}",
        "fonts: fonts_match.sh",
        "jax: kernel jax runs a notebook",
        "locales: locale_utf8.sh",
        "openblas: r_blas_threads.R",
        "polars: version",
        "jupyterlab: accepts the right token",
        *(f"jupyterlab: {check}" for check in (OTHER_START, PROCESS, SCRIPTS, SETTINGS, PAGE)),
        *(f"code-server: {check}" for check in (OTHER_START, PROCESS, SCRIPTS)),
        "code-server: refuses a client without a token",
        "code-server: refuses a wrong token",
        "code-server: refuses strangers at every address",
        "image: dsvm-info agrees with the plan",
        f"image: {GREETS}",
        "image: dsvm-start runs a command",
        "image: every shell finds the same commands",
        "image: exactly the planned kernels",
        "image: health check passes",
        "image: serves until all its checks are done",
        "image: installed packages: base and system",
        "image: installed packages: code-server-npm",
        "image: installed packages: env-base",
        "image: installed packages: env-jax",
        "image: installed packages: env-pytorch",
        "image: installed packages: env-tensorflow",
        "image: no CUDA library",
        "image: nothing unplanned runs when programs start",
        "image: nothing else listens when all checks are done",
        "image: only the planned services listen",
        "image: settings and labels",
        "image: starts nothing without a token",
        "image: stops in good time",
        "image: token is on no command line",
        *STARTS,
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
        f"code-server: {OTHER_START}",
        f"code-server: {PROCESS}",
        "code-server: refuses a client without a token",
        "code-server: refuses a wrong token",
        "code-server: refuses strangers at every address",
        "image: installed packages: base and system",
        "image: installed packages: code-server-npm",
        "ipywidgets: ipywidgets_state.py",
        "irkernel: irkernel_execute.py",
        "irkernel: kernel ir runs a notebook",
        "jax: kernel jax runs a notebook",
        "jupyterlab-git: jupyterlab_git_status.py",
        "jupyterlab: jupyterlab_app.py",
        "jupyterlab: kernel python3 runs a notebook",
        "jupyterlab: notebook first-steps.ipynb",
        *(f"jupyterlab: {check}" for check in (OTHER_START, PROCESS, SCRIPTS, SETTINGS)),
        "jupyterlab: refuses a client without a token",
        "jupyterlab: refuses a wrong token",
        "jupyterlab: refuses strangers at every address",
        "nbclient: nbclient_execute.py",
        f"nbclient: {START}",
        "pytorch: kernel pytorch runs a notebook",
        "pytorch: notebook deep-learning.ipynb",
        f"requests: {ASKS}",
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
        "image: dsvm-start ends with its services",
        "image: nothing else listens when all checks are done",
        "image: only the planned services listen",
        "image: settings and labels",
        "image: user is ds, not root",
        "jupyterlab: accepts the right token",
        "jupyterlab: answers",
        *(f"jupyterlab: {check}" for check in (OTHER_START, PROCESS, SCRIPTS, SETTINGS, PAGE)),
        "jupyterlab: refuses a client without a token",
        "jupyterlab: refuses a wrong token",
        "jupyterlab: refuses strangers at every address",
        *STARTS,
    }


def test_a_door_without_a_lock_and_pages_of_other_sites(spoil: Break, failed: Callable[..., set[str]]) -> None:
    """An extension of the server that asks nobody for a token, and websockets that any page may open; both in both."""
    site = SITE.format(env="base")
    script = f"""
        {{
            echo 'from tornado.web import RequestHandler'
            echo 'class Door(RequestHandler):'
            echo '    def get(self): self.finish("come in")'
            echo 'def _jupyter_server_extension_points(): return [{{"module": "door"}}]'
            echo 'def _load_jupyter_server_extension(app): app.web_app.add_handlers(".*$", [("/door", Door)])'
        }} > {site}/door.py
        mkdir -p /etc/jupyter/jupyter_server_config.d
        echo '{{"ServerApp": {{"jpserver_extensions": {{"door": true}}, "allow_origin": "*"}}}}' \
            > /etc/jupyter/jupyter_server_config.d/door.json
        cd /opt/code-server/out/node/routes
        sed -i 's|"/check", http_1.ensureAuthenticated,|"/check",|' update.js
        sed -i 's|ws(/.*/, http_1.ensureOrigin,|ws(/.*/,|' vscode.js
        ! grep '/check.*ensureAuthenticated' update.js
        ! grep 'ws(.*ensureOrigin' vscode.js
        """
    assert failed(spoil("door", script), only=["code-server", "jupyterlab"]) == {
        "code-server: refuses strangers at every address",
        "jupyterlab: refuses strangers at every address",
        f"jupyterlab: {SETTINGS}",
    }


def test_what_listens_since_a_check_began_it(spoil: Break, failed: Callable[..., set[str]]) -> None:
    script = """
        mv /usr/bin/pandoc /usr/bin/pandoc-real
        script /usr/bin/pandoc <<'END'
        #!/bin/sh
        setsid python3 -c 'if True:
            import socket, time
            listener = socket.socket(type=socket.SOCK_DGRAM)
            listener.bind(("", 5353))
            time.sleep(900)
        ' > /dev/null 2>&1 &
        exec /usr/bin/pandoc-real "$@"
        END
        """
    found = failed(spoil("later", script), only=["image", "pandoc"])
    assert found == {"image: nothing else listens when all checks are done"}


def test_parts_of_pages_that_are_gone(spoil: Break, failed: Callable[..., set[str]]) -> None:
    """One that JupyterLab loads when it needs it, one of an extension of it, and a worker and a module of VS Code."""
    script = """
        cd /opt/envs/base/share/jupyter
        rm "$(ls lab/static/[0-9]*.js | head -n 1)"
        echo '<p>moved</p>' > "$(ls labextensions/@jupyterlab/git/static/[0-9]*.js | tail -n 1)"
        rm /opt/code-server/lib/vscode/out/vs/workbench/services/search/worker/localFileSearchMain.js
        rm -r /opt/code-server/lib/vscode/node_modules/@xterm/addon-webgl
        """
    assert failed(spoil("parts", script), only=["code-server", "jupyterlab"]) == {
        f"code-server: {SCRIPTS}",
        f"jupyterlab: {SCRIPTS}",
    }


def test_extensions_that_nobody_planned_and_less_than_was(spoil: Break, failed: Callable[..., set[str]]) -> None:
    """An extension switched off, one of the page that is gone; one of a user's, and an origin that is trusted."""
    script = """
        echo '{"ServerApp": {"jpserver_extensions": {"nbdime": false}}}' \
            > /opt/envs/base/etc/jupyter/jupyter_server_config.d/zz.json
        rm -r /opt/envs/base/share/jupyter/labextensions/jupyterlab_pygments
        rm /opt/code-server/lib/vscode/extensions/merge-conflict/dist/*.js
        cd /home/ds
        mkdir -p .config/code-server .local/share/code-server/extensions
        printf 'auth: password\\ntrusted-origins: "*"\\n' > .config/code-server/config.yaml
        echo '[{"identifier": {"id": "check.nothing"}}]' > .local/share/code-server/extensions/extensions.json
        chown -R ds:ds .config .local
        """
    assert failed(spoil("extensions", script), only=["code-server", "jupyterlab"]) == {
        "code-server: refuses strangers at every address",
        f"code-server: {SETTINGS}",
        f"jupyterlab: {SETTINGS}",
    }


def test_cookies_that_outlive_their_token(spoil: Break, failed: Callable[..., set[str]]) -> None:
    """JupyterLab signs them with a key of its own in the home; code-server takes whatever looks like its cookie."""
    script = """
        mv /opt/envs/base/bin/jupyter /opt/envs/base/bin/jupyter-real
        script /opt/envs/base/bin/jupyter <<'END'
        #!/bin/bash
        exec /opt/envs/base/bin/jupyter-real "${@/--ServerApp.cookie_secret_file=*/--ServerApp.quit_button=True}"
        END
        sed -i 's/yield (0, exports.isHashMatch)(passwordFromArgs, cookieKey)/cookieKey.startsWith("$argon2")/' \\
            /opt/code-server/out/node/util.js
        grep -q 'startsWith("$argon2")' /opt/code-server/out/node/util.js
        """
    assert failed(spoil("cookies", script), only=["code-server", "jupyterlab"]) == {
        f"code-server: {OTHER_START}",
        "code-server: refuses strangers at every address",
        f"jupyterlab: {OTHER_START}",
        f"jupyterlab: {PROCESS}",
    }


def test_a_start_that_keeps_no_promise(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    """Each change of dsvm-start is found by what it does, and an init that reaps nothing beside that."""
    changes = [
        ("return {name: services[name] for name in names} or services", "return services"),
        ("    if unknown:", "    if False:"),
        ("{8,}", "{1,}"),
        ("getresponse().status < 400", "getresponse().status < 600"),
        ('.replace(self.token, "[token]")', ""),
        ('SECRETS = ("DSVM_TOKEN", "DSVM_TOKEN_FILE")', 'SECRETS = ("DSVM_TOKEN",)'),
        ("os.killpg(pid, number)", "os.kill(pid, number)"),
        ('stopping")\n                return 0', 'stopping")\n                return 3'),
        ("                return code\n", "                return 0\n"),
        ("self._signal_all(signal.SIGKILL)", "pass"),
        ("os.execvp(command[0], command)", "return subprocess.run(command).returncode"),
        ("return 127 if isinstance(error, FileNotFoundError) else 126", "return 1"),
    ]
    start = f"""
        python3 - <<'END'
        path, changes = "/usr/local/bin/dsvm-start", {changes!r}
        text = open(path).read()
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        open(path, "w").write(text)
        END
        """
    init = """
        script /usr/bin/tini <<'END'
        #!/usr/bin/python3 -IS
        import signal, subprocess, sys
        process = subprocess.Popen(sys.argv[3:])
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        sys.exit(process.wait())
        END
        """
    name = spoil("start", textwrap.dedent(start + init))
    report = verify(plan, name, engine=find_engine(), folder=tmp_path, only=["image"], view=Silent())
    caught.update(ids_of(report, "failed"))
    found = {result.check: result.output for result in report.results if result.outcome == "failed"}
    expected = {
        "dsvm-start runs a command": ["does not take dsvm-start's place", "no-such-command"],
        "dsvm-start refuses what it cannot do": [
            "an unknown service is not refused",
            "a token of seven characters is not refused",
            "services start all the same",
        ],
        "dsvm-start starts the chosen services, with a token in a file": [
            "the service inherits DSVM_TOKEN_FILE",
            "with a service that answers 500 its health is 0, not 1",
            "SIGTERM ends it with 3",
            "SIGTERM leaves processes of a service behind",
            "and the token hidden",
            "a service starts that was not asked for",
        ],
        "dsvm-start ends with its services": [
            "ends with 0, not 137",
            "a service that will not end goes on",
        ],
        "orphans are reaped": ["does not reap orphans"],
        checks.STOPS: ["told to stop, it ended with exit code 3, not 0"],
    }
    assert found.keys() == expected.keys()
    for check, faults in expected.items():
        assert [fault for fault in faults if fault not in found[check]] == [], found[check]


def test_shells_that_find_other_programs(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    name = spoil(
        "shells",
        """
        echo 'alias git=true' >> /home/ds/.bashrc
        echo 'curl() { true; }' >> /etc/bash.bashrc
        echo 'export LD_LIBRARY_PATH=/opt/other/lib' >> /home/ds/.profile
        printf '%s\n' 'PATH=/opt/other/bin:$PATH' 'LANG=C' > /etc/profile.d/zz.sh
        mkdir -p /opt/other/bin
        printf '#!/bin/sh\n' | script /opt/other/bin/java
        sed -i '1s|.*|#!/nowhere/python|' /opt/envs/base/bin/bokeh
        """,
    )
    report = verify(plan, name, engine=find_engine(), folder=tmp_path, only=["image"], view=Silent())
    caught.update(ids_of(report, "failed"))
    found = {result.check: result.output for result in report.results if result.outcome == "failed"}
    assert found.keys() == {"every shell finds the same commands", "nothing unplanned runs when programs start"}
    faults = found["every shell finds the same commands"].splitlines()[1:]
    java = "java is /opt/other/bin/java, not /usr/bin/java"
    login = ("bash -lc", "bash -lic", "sh -lc", "dsvm-start bash -lic")
    assert set(faults) == {
        "bokeh: /opt/envs/base/bin/bokeh is run by /nowhere/python, which is no program",
        *(
            f"{shell}: git is alias git='true', not /usr/bin/git"
            for shell in ("bash -ic", "bash -lic", "dsvm-start bash -lic")
        ),
        *(f"{shell}: curl is curl, not /usr/bin/curl" for shell in ("bash -ic", "bash -lic", "dsvm-start bash -lic")),
        *(f"{shell}: {java}" for shell in login),
        *(f"{shell}: LANG is 'C', not 'en_US.UTF-8'" for shell in login),
        *(f"{shell}: LD_LIBRARY_PATH is '/opt/other/lib'" for shell in login),
    }


def test_programs_that_trust_everybody(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    """And a Java that is not told whom to trust."""
    name = spoil(
        "trusting",
        f"""
        echo insecure > /home/ds/.curlrc
        git config --system http.sslVerify false
        printf '[global]\\ntrusted-host = localhost\\n' > /etc/pip.conf
        echo 'Acquire::https {{ Verify-Peer "false"; Verify-Host "false"; }};' > /etc/apt/apt.conf.d/99trusting
        echo 'import ssl; ssl._create_default_https_context = ssl._create_unverified_context' > {BASE}/trusting.pth
        sed -i 's/self.verify = True/self.verify = False/' {BASE}/requests/sessions.py
        grep -q 'self.verify = False' {BASE}/requests/sessions.py
        echo 'options(download.file.method = "curl", download.file.extra = "-k")' >> /etc/R/dsvm.R
        mv /opt/code-server/lib/node /opt/code-server/lib/node-real
        printf '#!/bin/sh\\nNODE_TLS_REJECT_UNAUTHORIZED=0 exec /opt/code-server/lib/node-real "$@"\\n' |
            script /opt/code-server/lib/node
        printf '#!/bin/sh\\nexec env -u JAVA_TOOL_OPTIONS /usr/bin/java "$@"\\n' | script /usr/local/bin/java
        """,
    )
    tools = ["code-server", "curl", "git", "image", "julia", "openjdk", "r", "requests"]
    kept = only_versions(plan, *tools)
    report = verify(kept, name, engine=find_engine(), folder=tmp_path, only=tools, view=Silent())
    caught.update(ids_of(report, "failed"))
    failed = {f"{one.tool}: {one.check}": one.output for one in report.results if one.outcome == "failed"}
    asked = {case.id for case in checks.planned_checks(plan) if case.kind == "network"}
    # whose Node.js got a variable on its way
    assert failed.keys() - asked == {"image: nothing unplanned runs when programs start", f"code-server: {PROCESS}"}
    assert asked - failed.keys() == set(), failed
    untold = "it asks a server of an authority that nobody told it to trust"
    everybody = {
        "it asks a server that an unknown authority vouches for",
        "it asks a server with a certificate of another name",
        untold,
    }
    for check in asked - {f"openjdk: {ASKS}", f"requests: {ASKS}"}:
        assert set(failed[check].splitlines()[1:]) == everybody, failed[check]
    # with DSVM_CA_BUNDLE it goes by that
    assert failed[f"requests: {ASKS}"].splitlines()[1:] == [untold]
    assert "told of its authority by DSVM_CA_BUNDLE, it does not get" in failed[f"openjdk: {ASKS}"]


def test_an_image_that_looks_up_no_names(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    name = spoil("nameless", "echo 'hosts: files' > /etc/nsswitch.conf")
    tools = ["code-server", "curl", "git", "openjdk", "r", "requests"]
    report = verify(only_versions(plan, *tools), name, engine=find_engine(), folder=tmp_path, only=tools, view=Silent())
    caught.update(ids_of(report, "failed"))
    failed = {f"{one.tool}: {one.check}": one.output for one in report.results if one.outcome == "failed"}
    asked = {case.id for case in checks.planned_checks(plan) if case.kind == "network" and case.tool in tools}
    assert failed.keys() == asked
    for said in failed.values():
        assert len(said.splitlines()) == 2 and "given a server by its name, it does not get what that has" in said


def test_an_image_that_ends_at_once(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    name = spoil("ends", """printf '#!/bin/sh\\necho not today\\nexit 3\\n' | script /opt/envs/base/bin/jupyter""")
    with pytest.raises(VerifyError, match=r"(?s)instead of serving.*not today"):
        verify(plan, name, engine=find_engine(), folder=tmp_path, only=["image"], view=Silent())
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={name}") == ""


def test_an_image_that_dies_while_it_is_checked(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    name = spoil("dies", "printf '#!/bin/sh\\nkill -9 -1; sleep 5\\n' | script /usr/bin/pandoc")
    report = verify(
        plan, name, engine=find_engine(), folder=tmp_path, only=["pandoc", "numpy", "pandas"], view=Silent()
    )
    told = failures(report)
    assert told.startswith(f"FAILED image: {checks.SURVIVES}\n"), told
    assert "the container ended with exit code" in told, told
    assert "checks that found it dead" in told, told


def test_an_image_that_brings_checks_of_its_own(plan: Plan, spoil: Break, tmp_path: Path) -> None:
    name = spoil("checked", "mkdir /tmp/dsvm-checks && echo 'raise SystemExit(0)' > /tmp/dsvm-checks/pandas_frame.py")
    with pytest.raises(VerifyError, match="the image has something at /tmp/dsvm-checks"):
        verify(plan, name, engine=find_engine(), folder=tmp_path, only=["pandas"], view=Silent())
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={name}") == ""


def test_an_image_that_never_answers(plan: Plan, spoil: Break, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = spoil("silent", """printf '#!/bin/sh\\nexec sleep 600\\n' | script /usr/local/bin/code-server""")
    monkeypatch.setattr("dsvm.container.verification.START_TIMEOUT", 10.0)
    with pytest.raises(VerifyError, match=r"(?s)not healthy after 10 s.*code-server does not answer on port 8080"):
        verify(plan, name, engine=find_engine(), folder=tmp_path, only=["image"], view=Silent())
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={name}") == ""


def test_every_check_has_failed_once(plan: Plan, request: pytest.FixtureRequest) -> None:
    """What no broken image can fail proves nothing. Runs after the tests above."""
    ran = {item.name for item in request.session.items if item.path == request.path}
    if not {"test_stubs_that_know_their_version", "test_damage_of_many_kinds"} <= ran:
        pytest.skip("the tests that break images were not chosen")
    cases = checks.planned_checks(plan)
    each = {case.id for case in cases if case.kind in ("version", "run", "script", "kernel", "notebook", "installed")}
    assert each - caught == set()
    assert {case.kind for case in cases} - {case.kind for case in cases if case.id in caught} == set()
