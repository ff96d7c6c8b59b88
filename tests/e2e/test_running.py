"""A started image serves whoever runs it, behind whatever stands before it, and keeps what users add."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin
from workbench import BIG, Done, docker, run

IMAGE = f"dsvm/{BIG}"
TOKEN = "correct-horse-battery"
pytestmark = pytest.mark.usefixtures("cpu_debian")


def shell(script: str, *options: str) -> Done:
    """A command of the image's shell, as somebody would run it; docker's options before it."""
    return run(["docker", "run", "--rm", *options, IMAGE, "bash", "-c", script])


# --- users -------------------------------------------------------------------------------------------------

WHO = "whoami; python -c 'import getpass; print(getpass.getuser())'; touch ~/mine ~/.cache 2>&1; echo $HOME; id -g"


def test_any_user_of_group_0_has_a_name_and_a_home() -> None:
    done = shell(WHO, "--user", "12345:0").passed()
    assert done.out.split() == ["ds", "ds", "/tmp/home-12345", "0"]
    known = shell("ssh -G host | head -1; java -XshowSettings:properties -version 2>&1", "--user", "12345:0").passed()
    assert "user.name = ds" in known.out


CACHES = """
git config --global user.email me@corp && cd $(mktemp -d) && git init -q && git commit -q --allow-empty -m first
git log --format=%an
python -W error -c 'import matplotlib; print(matplotlib.get_configdir()); print(matplotlib.get_cachedir())'
pip cache dir; julia -e 'println(DEPOT_PATH[1])'
"""


def test_any_user_commits_and_has_caches_in_the_home() -> None:
    author, *places = shell(CACHES, "--user", "12345:0").passed().out.splitlines()
    assert author == "Data scientist"
    assert len(places) == 4
    assert [place for place in places if not place.startswith("/tmp/home-12345/")] == []


def test_groups_that_were_added_stay() -> None:
    """As Kubernetes' fsGroup opens a volume, and --group-add a device."""
    done = shell("id -G", "--user", "root", "--group-add", "777", "-e", "DSVM_UID=4242").passed()
    assert {*done.out.split()} == {"777", "1000"}


def test_a_command_of_root_stays_root_s() -> None:
    assert shell("id -u; echo $HOME", "--user", "root").passed().out.split() == ["0", "/root"]


def test_the_user_gets_the_numbers_that_were_asked_for(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "theirs").write_text("of somebody else")
    os.chown(tmp_path / "theirs", 999, 999)
    numbers = ("--user", "root", "-e", "DSVM_UID=4242", "-e", "DSVM_GID=4343")
    done = shell(
        "id -u; id -g; whoami; stat -c %u ~ ~/.bashrc ~/work/theirs; touch ~/new && sudo -n id -u",
        *numbers, "-v", f"{tmp_path}:/home/ds/work",
    ).passed()  # fmt: skip
    assert done.out.split() == ["4242", "4343", "ds", "4242", "4242", "999", "0"]


def test_numbers_that_cannot_be_given_are_refused() -> None:
    for options, words in (
        (("--read-only", "--user", "root", "-e", "DSVM_UID=77"), "/etc/passwd cannot be written"),
        (("-e", "DSVM_UID=77"), "add --user root"),
        (("--user", "root", "-e", "DSVM_UID=0"), "no number of a user"),
    ):
        done = shell("id", *options)
        assert (done.code, words in done.err, "Traceback" in done.err) == (2, True, False), done.text


@pytest.fixture
def volume() -> Iterator[str]:
    name = docker("volume", "create").strip()
    yield name
    docker("volume", "rm", "--force", name)


def test_an_empty_home_of_root_s_becomes_the_user_s(tmp_path: Path) -> None:
    """As Kubernetes and bind mounts bring it; docker itself fills a new volume."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    mount = ("-v", f"{home}:/home/ds")
    lost = shell("echo $HOME", *mount).passed()
    assert lost.out.strip() == "/tmp/home-1000"
    assert "WHAT IS SAVED THERE IS LOST" in lost.err and "DSVM_UID=1000" in lost.err
    found = shell("echo saved > ~/file; ls -A ~", *mount, "--user", "root", "-e", "DSVM_UID=1000").passed()
    assert {".bash_logout", ".bashrc", "file"} <= {*found.out.split()}
    assert shell("cat ~/file", *mount).passed().out == "saved\n"
    assert home.stat().st_uid == 1000


def test_a_new_disk_and_a_folder_mounted_into_it_make_a_home(tmp_path: Path) -> None:
    """mkfs leaves lost+found in it, and the engine the folders that lead to what is mounted below."""
    for name in ("disk/lost+found", "work"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "work/theirs").touch()
    os.chown(tmp_path / "work/theirs", 1000, 1000)
    mounts = ("-v", f"{tmp_path}/disk:/home/ds", "-v", f"{tmp_path}/work:/home/ds/.config/some/where")
    done = shell(
        "echo $HOME; touch ~/new ~/.config/other ~/.bashrc; stat -c %u ~/.config/some/where/theirs",
        "--user", "root", "-e", "DSVM_UID=4242", *mounts,
    ).passed()  # fmt: skip
    assert done.out.split() == ["/home/ds", "1000"], "what is mounted is its owner's still"
    assert done.err == ""
    assert (tmp_path / "disk/new").stat().st_uid == 4242


def test_a_read_only_root() -> None:
    assert shell("true", "--read-only").passed().err == ""
    spaces = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/home/ds:uid=1000,gid=1000")
    assert (
        shell("touch ~/x && python -c 'import numpy, sys; print(sys.prefix)'", *spaces)
        .passed()
        .out.startswith("/home/ds/.local/")
    )


def test_a_mounted_project_of_another_owner_is_not_dubious(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("one", "group/two"):
        subprocess.run(["git", "init", "-q", tmp_path / name], check=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 3333, 3333)
    ask = "git -C ~/work/one status -sb && git -C ~/work/group/two status -sb"
    done = shell(ask, "-v", f"{tmp_path}:/home/ds/work")
    assert done.code == 0, done.text


# --- services ----------------------------------------------------------------------------------------------


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """A container of the image with these options; its id, once it is healthy."""
    container = docker("run", "--detach", "-e", f"DSVM_TOKEN={TOKEN}", *options, IMAGE).strip()
    try:
        end = time.monotonic() + 180
        while (state := health(container)) == "starting" and time.monotonic() < end:
            time.sleep(1)
        assert state == "healthy", docker("logs", container)
        yield container
    finally:
        docker("rm", "--force", "--volumes", container)


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container with the options that the test asks for."""
    options: Sequence[str] = request.param
    with serving(*options) as container:
        yield container


def health(container: str) -> str:
    return docker("inspect", "--format", "{{.State.Health.Status}}", container).strip()


def fetched(container: str, path: str, *options: str) -> str:
    """What JupyterLab answers."""
    words = ("curl", "-sS", "-H", f"Authorization: token {TOKEN}", *options, f"http://127.0.0.1:8888/{path}")
    return docker("exec", container, *words)


def asked(container: str, path: str) -> str:
    program = f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Authorization: token {TOKEN}' http://127.0.0.1:{path}"
    return docker("exec", container, "bash", "-c", program).strip()


STARTS = {"1000": ("--user", "root"), "12345": ("--user", "12345:0"), "4242": ("--user", "root", "-e", "DSVM_UID=4242")}


@pytest.mark.parametrize(("started", "user"), [(words, user) for user, words in STARTS.items()], indirect=["started"])
def test_services_of_any_user(started: str, user: str) -> None:
    assert asked(started, "8888/api/contents") == "200"
    assert asked(started, "8080/healthz") == "200"
    owners = 'for one in /proc/[0-9]*; do echo $(stat -c %u $one) $(tr "\\0" " " <$one/cmdline); done'
    of_services = [
        line
        for line in docker("exec", started, "bash", "-c", owners).splitlines()
        if re.search("jupyter-lab|entry", line)
    ]
    assert len(of_services) >= 2
    assert {line.split()[0] for line in of_services} == {user}


KERNEL = """
import json, sys, urllib.request, uuid
from tornado import gen, ioloop, websocket
site, token = sys.argv[1:]
def ask(path, data=None):
    request = urllib.request.Request(f"http://{site}{path}", data, {"Authorization": f"token {token}"})
    return json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60))
kernel = ask("api/kernels", b"{}")["id"]
async def main():
    socket = await websocket.websocket_connect(f"ws://{site}api/kernels/{kernel}/channels?token={token}")
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "x"}
    content = {"code": "print(6 * 7)", "silent": False, "store_history": False, "user_expressions": {}}
    await socket.write_message(json.dumps({
        "header": {**header, "version": "5.3"}, "content": {**content, "allow_stdin": False},
        "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [],
    }))
    while True:
        message = json.loads(await socket.read_message())
        if message["msg_type"] == "stream":
            print(message["content"]["text"].strip())
            return
ioloop.IOLoop.current().run_sync(lambda: gen.with_timeout(__import__("datetime").timedelta(seconds=90), main()))
"""


@pytest.mark.parametrize("started", [("-e", "NB_PREFIX=/notebook/team/me")], indirect=True)
def test_behind_a_path_jupyterlab_serves_below_it_and_its_websockets_too(started: str) -> None:
    assert asked(started, "8888/notebook/team/me/api/contents") == "200"
    assert asked(started, "8888/api/contents") == "404"
    site = "127.0.0.1:8888/notebook/team/me/"
    assert docker("exec", started, "/opt/envs/base/bin/python", "-c", KERNEL, site, TOKEN).strip() == "42"


# --- what users add ----------------------------------------------------------------------------------------


def wheel(path: Path, name: str, version: str, text: str) -> Path:
    stem = f"{name}-{version}"
    made = path / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    made.chmod(0o644)
    return made


def test_packages_that_a_user_adds_to_a_kernel_s_environment_survive_on_a_mounted_home(
    tmp_path: Path, volume: str
) -> None:
    tmp_path.chmod(0o755)
    wheel(tmp_path, "added", "1.0", "WHERE = __file__\n")
    wheel(tmp_path, "cloudpickle", "99.0", "")  # one that the image has, in a newer version
    mounts = ("-v", f"{tmp_path}:/wheels:ro", "-v", f"{volume}:/home/ds")
    install = "%s -m pip install -q --no-index --find-links /wheels added"
    for env in ("base", "pytorch"):
        shell(install % f"dsvm-python {env}", *mounts).passed()
        found = shell(f"dsvm-python {env} -c 'import added; print(added.WHERE)'", *mounts).passed().out
        assert re.match(rf"/home/ds/\.local/share/dsvm/{env}-python3\.\d+/lib/", found), found
    assert "added" not in shell("/opt/envs/base/bin/python -m pip list", *mounts).passed().out
    shell("pip install -q --no-index --find-links /wheels cloudpickle==99.0", *mounts).passed()
    version = 'import importlib.metadata as m; print(m.version("cloudpickle"))'
    assert shell(f"python -c '{version}'", *mounts).passed().out == "99.0\n"
    assert shell(f"/opt/envs/base/bin/python -c '{version}'", *mounts).passed().out != "99.0\n"
    # what a terminal in the browser is: a login shell
    assert shell("bash -lc \"python -c 'import added; print(added.WHERE)'\"", *mounts).passed().out == found.replace(
        "/pytorch-", "/base-"
    )


NOTEBOOKS = """
import json, sys
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
specs = KernelSpecManager().get_all_specs()
for name in sorted(name for name, spec in specs.items() if spec["spec"]["language"] == "python"):
    for cell in ("%pip install -q --no-index --find-links /wheels added", "import added; print(added.WHERE)"):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        NotebookClient(notebook, kernel_name=name, timeout=120, startup_timeout=120).execute()
    print(name, notebook.cells[0].outputs[0]["text"].strip())
"""


def test_pip_in_a_notebook_of_every_kernel_adds_to_the_home(tmp_path: Path) -> None:
    """By the Python of JupyterLab's server, which starts the kernels."""
    tmp_path.chmod(0o755)
    wheel(tmp_path, "added", "1.0", "WHERE = __file__\n")
    (tmp_path / "notebooks.py").write_text(NOTEBOOKS)
    done = shell("/opt/envs/base/bin/python /wheels/notebooks.py", "-v", f"{tmp_path}:/wheels:ro").passed()
    found = dict(line.split() for line in done.out.splitlines())
    assert {"python3", "pytorch", "tensorflow", "jax"} <= found.keys()
    assert [place for place in found.values() if not place.startswith("/home/ds/.local/share/dsvm/")] == []
    assert len({*found.values()}) == len(found), "each has a layer of its own"


def test_extensions_of_code_server_survive_on_a_mounted_home(tmp_path: Path, volume: str) -> None:
    tmp_path.chmod(0o755)
    package = {"name": "mine", "publisher": "me", "version": "1.0.0", "engines": {"vscode": "^1.60.0"}}
    with zipfile.ZipFile(tmp_path / "mine.vsix", "w") as archive:
        archive.writestr("extension/package.json", json.dumps(package))
    (tmp_path / "mine.vsix").chmod(0o644)
    mounts = ("-v", f"{tmp_path}:/src:ro", "-v", f"{volume}:/home/ds")
    shell("code-server --install-extension /src/mine.vsix", *mounts).passed()
    listed = shell("code-server --list-extensions; ls ~/.local/share/code-server/extensions", *mounts).passed().out
    assert "me.mine\n" in listed and "me.mine-1.0.0" in listed


def test_settings_of_jupyterlab_survive_on_a_mounted_home(volume: str) -> None:
    options = ("-v", f"{volume}:/home/ds", "-e", "DSVM_SERVICES=jupyterlab")
    setting = "lab/api/settings/@jupyterlab/apputils-extension:themes"
    with serving(*options) as container:
        dark = json.dumps({"raw": json.dumps({"theme": "JupyterLab Dark"})})
        fetched(container, setting, "-f", "-X", "PUT", "--data", dark)
        docker("exec", container, "test", "-d", "/home/ds/.jupyter/lab/user-settings")
    with serving(*options) as container:
        assert json.loads(fetched(container, setting))["settings"]["theme"] == "JupyterLab Dark"


def r_package(folder: Path) -> None:
    (folder / "R").mkdir(parents=True)
    (folder / "DESCRIPTION").write_text("Package: mine\nVersion: 1.0\nTitle: T\nDescription: D.\nLicense: MIT\n")
    (folder / "NAMESPACE").write_text("export(answer)\n")
    (folder / "R/a.R").write_text("answer <- function() 42\n")


def test_packages_of_r_go_to_the_home_and_survive(tmp_path: Path, volume: str) -> None:
    r_package(tmp_path / "mine")
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    mounts = ("-v", f"{tmp_path}:/src:ro", "-v", f"{volume}:/home/ds")
    shell('Rscript -e \'install.packages("/src/mine", repos = NULL, type = "source")\'', *mounts).passed()
    assert shell("Rscript -e 'cat(mine::answer())'", *mounts).passed().out == "42"
    assert shell("Rscript -e 'cat(getOption(\"repos\"))'", "-e", "DSVM_CRAN=https://r.invalid/x").passed().out == (
        "https://r.invalid/x"
    )


# --- a company's network -----------------------------------------------------------------------------------

# A server with a certificate of the company's, and a proxy that has the same for every host
SERVE = """
import http.server, ssl, threading, urllib.parse
class Proxy(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path):
        return super().translate_path(urllib.parse.urlsplit(path).path)
proxy = http.server.HTTPServer(("127.0.0.1", 3128), Proxy)
threading.Thread(target=proxy.serve_forever, daemon=True).start()
server = http.server.HTTPServer(("127.0.0.1", 8443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/ca/server.pem", "/ca/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
JAVA = """
public class Ask {
    public static void main(String[] words) throws Exception {
        new java.net.URL(words[0]).openStream().close();
    }
}
"""
CLIENTS = {
    "curl": "curl -sf $site/file >/dev/null",
    "python": "python -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' $site/file",
    "requests": "python -c 'import sys, requests; requests.get(sys.argv[1]).raise_for_status()' $site/file",
    "pip": "pip download -q --no-deps --index-url $site/simple/ -d /tmp/got added",
    "git": "git ls-remote $site/project.git",
    "uv": "uv pip install -q --python /opt/envs/base/bin/python --target /tmp/by-uv --index-url $site/simple/ added",
    "node": "/opt/code-server/lib/node -e "
    "'require(process.argv[1].split(\":\")[0]).get(process.argv[1], (a) => a.resume())' $site/file",
    "R": "Rscript -e 'download.file(commandArgs(TRUE), \"/tmp/r\", quiet = TRUE)' $site/file",
    "java": "java /ca/Ask.java $site/file",
    "julia": "julia -e 'download(ARGS[1], \"/tmp/j\")' $site/file",
}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of a company's own, a certificate of 127.0.0.1 by it, and what a server there serves."""
    folder = tmp_path_factory.mktemp("company")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=A company")
    openssl("req", "-x509", *key, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=127.0.0.1",
            "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
    (folder / "serve.py").write_text(SERVE)
    (folder / "Ask.java").write_text(JAVA)
    (folder / "file").write_text("content")
    (folder / "simple/added").mkdir(parents=True)
    made = wheel(folder / "simple/added", "added", "1.0", "")
    (folder / "simple/added/index.html").write_text(f'<a href="{made.name}">{made.name}</a>')
    subprocess.run(["git", "init", "-q", "--bare", folder / "project.git"], check=True)
    subprocess.run(["git", "-C", folder / "project.git", "update-server-info"], check=True)
    (folder / "cran/src/contrib").mkdir(parents=True)
    r_package(folder / "mine")
    with tarfile.open(folder / "cran/src/contrib/mine_1.0.tar.gz", "w:gz") as archive:
        archive.add(folder / "mine", "mine")
    (folder / "cran/src/contrib/PACKAGES").write_text("Package: mine\nVersion: 1.0\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def clients(company: Path, site: str, *options: str, commands: Mapping[str, str] = CLIENTS) -> dict[str, int]:
    """The exit code of every client that asks a server at `site`; the image has no uv, so this project's is there."""
    lines = "\n".join(
        f"({command}) >/tmp/said 2>&1; echo {name} $?; cat /tmp/said >&2" for name, command in commands.items()
    )
    serve = f"cd /ca && {{ /usr/bin/python3 serve.py >/dev/null 2>&1 & }}; sleep 2; site={site}; cd /tmp"
    script = f"{serve}\n{lines}"
    done = shell(script, "-v", f"{company}:/ca:ro", "-v", f"{find_uv_bin()}:/usr/local/bin/uv:ro", *options).passed()
    return {name: int(code) for name, code in (line.split() for line in done.out.splitlines())}


def test_every_program_trusts_a_company_s_authority(company: Path) -> None:
    site = "https://127.0.0.1:8443"
    without = clients(company, site)
    assert 0 not in without.values(), "else they trust anybody"
    assert clients(company, site, "-e", "DSVM_CA_BUNDLE=/ca/ca.pem") == dict.fromkeys(CLIENTS, 0)


def test_the_whole_bundle_of_a_machine_will_do(company: Path) -> None:
    """As /etc/ssl/certs/ca-certificates.crt of a company's machine, of which the image has the most."""
    system = docker("run", "--rm", "--entrypoint", "cat", IMAGE, "/etc/ssl/certs/ca-certificates.crt")
    (company / "whole.pem").write_text(f"{system}\n{(company / 'ca.pem').read_text()}")
    (company / "whole.pem").chmod(0o644)
    assert system.count("BEGIN") > 100
    bundle = ("-e", "DSVM_CA_BUNDLE=/ca/whole.pem")
    assert clients(company, "https://127.0.0.1:8443", *bundle) == dict.fromkeys(CLIENTS, 0)


MIRRORS = {
    "pip": "pip install -q added && python -c 'import added'",
    "uv": "uv pip install -q --python /opt/envs/base/bin/python --target /tmp/by-uv added",
    "R": "Rscript -e 'install.packages(\"mine\", quiet = TRUE); stopifnot(mine::answer() == 42)'",
}


def test_a_company_s_mirrors_by_the_variables_of_the_programs(company: Path) -> None:
    site = "https://127.0.0.1:8443"
    mirrors = {"PIP_INDEX_URL": f"{site}/simple/", "UV_DEFAULT_INDEX": f"{site}/simple/", "DSVM_CRAN": f"{site}/cran"}
    words = [word for name, value in mirrors.items() for word in ("-e", f"{name}={value}")]
    found = clients(company, site, "-e", "DSVM_CA_BUNDLE=/ca/ca.pem", *words, commands=MIRRORS)
    assert found == dict.fromkeys(MIRRORS, 0)


def test_every_program_takes_the_way_over_the_proxy(company: Path) -> None:
    """To a host of which only the proxy knows; in the one spelling that curl does not read."""
    site = "http://service.invalid"
    options = ("-e", "PIP_TRUSTED_HOST=service.invalid")
    assert 0 not in clients(company, site, *options).values()
    proxied = clients(company, site, *options, "-e", "HTTP_PROXY=http://127.0.0.1:3128")
    assert proxied == dict.fromkeys(CLIENTS, 0)


def test_a_bundle_that_cannot_be_read_starts_nothing() -> None:
    done = shell("true", "-e", "DSVM_CA_BUNDLE=/nowhere.pem")
    assert (done.code, "cannot read /nowhere.pem" in done.err) == (2, True)


# --- limits ------------------------------------------------------------------------------------------------


def test_a_quota_of_processors_is_what_programs_count() -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.fail("one processor leaves nothing to limit")
    counts: dict[str, Any] = json.loads(
        shell(
            "java -XshowSettings:system -version 2>/tmp/java; julia=$(julia -e 'print(Threads.nthreads())');"
            "python -c 'import json, os, sys; print(json.dumps({"
            '"java": "Effective CPU Count: 1" in open("/tmp/java").read(), "julia": sys.argv[1],'
            '"omp": os.environ["OMP_NUM_THREADS"], "make": os.environ["MAKEFLAGS"]}))\' "$julia"',
            "--cpus", "1",
        ).passed().out
    )  # fmt: skip
    # Spark's local[*] is what Java counts
    assert counts == {"java": True, "julia": "1", "omp": "1", "make": "-j1"}
