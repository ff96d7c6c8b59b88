"""Diagnosis an engine, and getting one: with fake programs on PATH, which say what real ones would."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from server import Resource, Server

from dsvm.host import diagnose, engine, find_engine, gpu_requests
from dsvm.host.doctor import Diagnosis
from dsvm.model import EngineError

SCRIPT = Path(__file__).parents[2] / "scripts/engine"


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


# --- the engine -------------------------------------------------------------------------------------------

Engines = Callable[..., FakeEngine]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, with a `docker` whose plugin says the version that is in the file `buildx`."""
    folder = tmp_path / "bin"
    said = tmp_path / "buildx"
    said.write_text("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3\n")
    program(folder / "docker", f"#!{sys.executable}\nprint(open({str(said)!r}).read())\n")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def use_context(name: str, url: str, *, chosen: bool = True) -> None:
    """What `docker context create` writes, and `docker context use` where it is `chosen`."""
    config = Path(os.environ["DOCKER_CONFIG"])
    place = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    place.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": url, "SkipTLSVerify": False}}}
    (place / "meta.json").write_text(json.dumps(meta))
    (config / "config.json").write_text(json.dumps({"currentContext": name} if chosen else {}))


def test_the_engine_of_docker_s_context_is_used(engines: Engines, path: Path) -> None:
    mine, _ = engines("mine"), engines("private", ServerVersion="0")
    use_context("mine", mine.url)
    found = find_engine()
    assert found.env == {}
    assert not found.is_private
    assert found.host == mine.url
    assert found.version == "26.1.5"
    assert found.storage_driver == "overlayfs"
    assert found.containerd_store
    assert found.buildx == "0.13.1+ds1"
    assert found.data_root == Path("/")
    assert found.free is not None
    assert abs(found.free - shutil.disk_usage("/").free) < 1 << 30
    assert (found.ncpu, found.architecture) == (6, "x86_64")


def test_docker_host_goes_before_contexts_and_a_named_context_before_the_chosen_one(
    engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {name: engines(name).url for name in ("chosen", "named", "host")}
    use_context("named", urls["named"], chosen=False)
    use_context("chosen", urls["chosen"])
    assert find_engine().host == urls["chosen"]
    monkeypatch.setenv("DOCKER_CONTEXT", "named")
    assert find_engine().host == urls["named"]
    monkeypatch.setenv("DOCKER_HOST", urls["host"])
    assert find_engine().host == urls["host"]


def test_a_context_that_is_not_there_is_said(engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(EngineError, match=r"context .*gone"):
        find_engine()


def test_the_private_engine_is_used_when_the_own_one_does_not_answer(
    engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/gone.sock")
    private = engines("private")
    found = find_engine()
    assert found.is_private
    assert found.env == {"DOCKER_HOST": private.url}
    assert found.host == private.url


def test_a_shell_that_exports_the_private_engine_needs_nothing_more(
    engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engines("private").url)
    found = find_engine()
    assert found.is_private
    assert found.env == {}


@pytest.mark.parametrize(
    ("said", "requests"),
    [
        ({}, []),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": None}, []),
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, [("", -1, [["gpu"]], [])]),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "vendor.com/net=0"}]}, []),
        (
            {"Runtimes": {"nvidia": {}}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]},
            [("cdi", 0, [], ["nvidia.com/gpu=all"])],
        ),
    ],
)
def test_a_container_gets_the_gpus_that_the_engine_has(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, said: dict[str, object], requests: list[tuple[object, ...]]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engines(**said).url)
    found = [(one.driver, one.count, one.capabilities, one.device_ids) for one in gpu_requests(find_engine())]
    assert found == requests


def test_no_engine_says_what_each_one_said(engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = engines("private")
    private.server.shutdown()
    private.server.server_close()  # the socket stays, and nobody listens
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/gone.sock")
    with pytest.raises(EngineError) as raised:
        find_engine()
    assert "unix:///nowhere/gone.sock: No such file or directory" in raised.value.message
    assert f"{private.url}: Connection refused" in raised.value.message
    assert raised.value.hint == "Try: scripts/engine install && scripts/engine start"
    assert raised.value.exit_code == 4


def test_no_docker_at_all(engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/gone.sock")
    with pytest.raises(EngineError, match="no container engine answers") as raised:
        find_engine()
    assert "scripts/engine install" in raised.value.hint
    lacking = Diagnosis("missing", "docker client", "not installed, or not on PATH", "scripts/engine install")
    assert lacking in diagnose()


def test_an_engine_that_hangs_is_given_up(engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = engines()
    hanging.silent.set()
    monkeypatch.setenv("DOCKER_HOST", hanging.url)
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT", 0.3)
    with pytest.raises(EngineError, match="timed out"):
        find_engine()


def test_podman_in_the_place_of_docker_is_named(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    podman = engines()
    podman.version = {**podman.version, "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]}
    monkeypatch.setenv("DOCKER_HOST", podman.url)
    with pytest.raises(EngineError, match="Podman"):
        find_engine()


@pytest.mark.parametrize("answer", [b"", b"<html>login</html>", b"[]", b'{"ApiVersion": 1}', b"\xff"])
def test_what_answers_and_is_no_engine_is_said(
    engines: Engines, server: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    server.resources |= {"/version": Resource(answer), "/info": Resource(answer)}
    monkeypatch.setenv("DOCKER_HOST", server.url.replace("http://", "tcp://"))
    with pytest.raises(EngineError, match="no container engine answers"):
        find_engine()


def finding(subject: str, needed: int | None = None) -> Diagnosis:
    programs = {"mmdebstrap": "makes a base"}
    (found,) = (one for one in diagnose(needed, programs=programs) if one.subject == subject)
    return found


@pytest.fixture
def good(engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine to which DOCKER_HOST leads."""
    found = engines()
    monkeypatch.setenv("DOCKER_HOST", found.url)
    return found


def test_a_good_host_has_nothing_to_mend(good: FakeEngine, path: Path) -> None:
    for name in ("apt-get", "mmdebstrap"):
        program(path / name, "#!/bin/sh\n")
    found = diagnose(1, programs={"apt-get": "resolves", "mmdebstrap": "makes a base"})
    assert {one.level for one in found} == {"ok"}
    assert {"apt-get", "mmdebstrap"} <= {one.subject for one in found}
    assert not any(one.remedy for one in found)


def test_an_old_graph_driver_is_slow(good: FakeEngine) -> None:
    good.info |= {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}
    found = finding("image store")
    assert (found.level, "overlay2" in found.what) == ("slow", True)
    assert "containerd-snapshotter" in found.remedy


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("v0.12.1-desktop.4", "missing"),
        ("0.9.0", "missing"),
        ("v0.13.0", "ok"),
        ("0.13.1+ds1", "ok"),
        ("v0.30.1", "ok"),
        ("1.0", "ok"),
        ("(devel)", "missing"),
        (None, "missing"),
    ],
)
def test_buildx_must_be_able_to_say_what_it_does(
    good: FakeEngine, tmp_path: Path, version: str | None, level: str
) -> None:
    (tmp_path / "buildx").write_text(f"github.com/docker/buildx {version} 78843" if version else "")
    assert finding("buildx").level == level


def test_too_little_disk_is_missing(good: FakeEngine) -> None:
    assert finding("disk", needed=1 << 60).level == "missing"
    assert finding("disk", needed=1).level == "ok"
    (found,) = (one for one in diagnose(1 << 60, others={"big": 1 << 60, "small": 10**9}) if one.subject == "disk")
    assert found.what.endswith("\nthere is room for small (1.0 GB)")
    (found,) = (one for one in diagnose(1 << 60, others={"big": 1 << 60}) if one.subject == "disk")
    assert found.what.endswith("\nthere is room for no other variant either")


def test_the_disk_of_another_host_is_not_measured_here(
    engines: Engines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engines("elsewhere").url)
    assert find_engine().free is None
    assert finding("disk", needed=1 << 60).level == "ok"


def test_missing_programs_are_named_with_their_remedy(good: FakeEngine) -> None:
    found = finding("mmdebstrap")
    assert (found.level, found.remedy) == ("missing", "scripts/base-tools")
    dnf = [one for one in diagnose(programs={"dnf-3": "resolves"}, optional=True) if one.subject == "dnf-3"]
    assert [(one.level, one.remedy) for one in dnf] == [("optional", "apt-get install dnf")]


def test_a_keyring_that_is_not_there_is_missing(good: FakeEngine, tmp_path: Path) -> None:
    here, gone = tmp_path / "here.gpg", tmp_path / "gone.gpg"
    here.touch()
    keyrings = {str(here): "debian-12", str(gone): "ubuntu-22.04, ubuntu-24.04"}
    found = [one for one in diagnose(keyrings=keyrings) if one.subject == "keyring"]
    assert [one.level for one in found] == ["ok", "missing"]
    assert str(gone) in found[1].what and "ubuntu-22.04, ubuntu-24.04" in found[1].what
    assert found[1].remedy == "scripts/base-tools"


# --- scripts/engine ----------------------------------------------------------------------------------------

TOOLS = (
    *("awk", "basename", "bash", "cat", "chmod", "cp", "cut", "date", "dirname", "env", "flock", "getent", "grep"),
    *("head", "id", "ls", "mkdir", "mktemp", "readlink", "realpath", "rm", "sed", "setsid", "sha256sum", "sleep"),
    *("sort", "tail", "tee", "timeout", "touch", "tr"),
)

# Answers like a daemon: on a socket of its own, until it is told to end.
DAEMON = """#!{python}
import os, signal, socket, sys, time
arguments = " ".join(sys.argv)
with open("{state}/launched", "a") as log:
    print({name!r}, arguments, file=log)
if os.path.exists("{state}/broken-{name}"):
    sys.exit("boom: {name} cannot work here")
if {name!r} == "containerd":
    config = open(sys.argv[sys.argv.index("--config") + 1]).read()
    address = config.partition('address = "')[2].partition('"')[0]
else:
    address = sys.argv[sys.argv.index("--host") + 1].removeprefix("unix://")
listening = socket.socket(socket.AF_UNIX)
listening.bind(address)
listening.listen()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    time.sleep(60)
"""

DOCKER = """#!{python}
import os, socket, sys
arguments = sys.argv[1:]
host = os.environ.get("DOCKER_HOST", "")
if arguments[0] == "-H":
    host, arguments = arguments[1], arguments[2:]
if arguments[0] == "buildx":
    if not os.path.exists("{state}/buildx"):
        sys.exit("docker: 'buildx' is not a docker command.")
    print("github.com/docker/buildx", open("{state}/buildx").read())
elif arguments[0] == "context":
    print("unix:///var/run/docker.sock")
elif arguments[0] == "info" and not host:
    if not os.path.exists("{state}/answers"):
        sys.exit("Cannot connect to the Docker daemon")
    print("20.10.24")
elif arguments[0] == "info":
    socket.socket(socket.AF_UNIX).connect(host.removeprefix("unix://"))
    print("26.1.5")
"""

# Notes what it is asked, and with which configuration; installing makes the programs appear.
APT = """#!/bin/bash
echo "$*" >>"{state}/apt"
for option in "$@"; do
    case $option in
        Dir::Etc::SourceParts=*) cp -r "${{option#*=}}" "{state}/sources" ;;
        Dir::Etc::PreferencesParts=*) cp -r "${{option#*=}}" "{state}/preferences" ;;
    esac
done
if [[ -e "{state}/broken-apt" ]]; then echo "E: no archive answers"; exit 100; fi
if [[ " $* " == *" install "* ]]; then
    for option in "$@"; do
        case $option in
            docker-cli) cp "{state}/programs/docker" "{bin}/" ;;
            docker.io) cp "{state}"/programs/{{docker,dockerd}} "{bin}/" ;;
            docker-buildx) echo v0.13.1 >"{state}/buildx" ;;
        esac
    done
fi
"""


class Computer:
    """A machine of fakes: its root folder, its PATH, and what its programs were asked to do."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.state = folder / "state"
        self.bin = folder / "bin"
        self.engine_dir = folder / "e"
        for path in (self.bin, self.state, self.root / "etc/apt/sources.list.d", self.root / "proc"):
            path.mkdir(parents=True)
        for name in TOOLS:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        values = {"python": sys.executable, "state": self.state, "bin": self.bin}
        program(self.state / "programs/docker", DOCKER.format(**values))
        program(self.state / "programs/dockerd", DAEMON.format(**values, name="dockerd"))
        program(self.bin / "containerd", DAEMON.format(**values, name="containerd"))
        program(self.bin / "apt-get", APT.format(**values))
        program(self.bin / "sudo", '#!/bin/bash\nexec "$@"\n')
        program(self.bin / "iptables", "#!/bin/bash\n")
        program(
            self.bin / "ip",
            f'#!/bin/bash\necho "$*" >>{self.state}/ip\ncase "$*" in\n'
            f'"link add"*) mkdir -p "{self.root}/sys/class/net/$3" ;;\n'
            '"-4 -o addr show") echo "5: br inet 172.31.0.1/16 scope global br" ;;\nesac\n',
        )
        self.debian("12", "bookworm")
        self.sources(
            "debian.sources", "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n"
        )

    def debian(self, version: str, codename: str, identity: str = "debian") -> None:
        text = f'ID={identity}\nVERSION_ID="{version}"\nVERSION_CODENAME={codename}\n'
        (self.root / "etc/os-release").write_text(text)

    def sources(self, name: str, text: str) -> None:
        for old in (self.root / "etc/apt/sources.list.d").iterdir():
            old.unlink()
        (self.root / "etc/apt/sources.list.d" / name).write_text(text)

    def has(self, *names: str) -> Computer:
        for name in names:
            if name == "buildx":
                (self.state / name).write_text("v0.13.1")
            elif name == "engine":
                (self.state / "answers").touch()
            else:
                shutil.copy(self.state / "programs" / name, self.bin)
        return self

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "HOME": str(self.root),
            "DSVM_TEST_MACHINE": str(self.root),
            "DSVM_ENGINE_DIR": str(self.engine_dir),
            "TMPDIR": str(self.state),
        }

    def engine(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.script(SCRIPT, *words, code=code)

    def script(self, path: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        # A daemon that kept a pipe of ours open would let this run into the timeout.
        done = subprocess.run(
            [path, *words], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def note(self, name: str) -> str:
        path = self.state / name
        return path.read_text() if path.exists() else ""

    @property
    def installed(self) -> list[str]:
        """Packages of the last `apt-get install`."""
        lines = [line for line in self.note("apt").splitlines() if " install " in line]
        return sorted(lines[-1].partition(" install -y ")[2].split()) if lines else []

    def pid(self, name: str) -> int:
        return int((self.engine_dir / f"{name}.pid").read_text())


@pytest.fixture
def computer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Computer]:
    computer = Computer(tmp_path_factory.mktemp("m"))
    yield computer
    for path in computer.engine_dir.glob("*.pid"):
        words = Path(f"/proc/{path.read_text().strip()}/cmdline")
        if words.exists() and str(computer.engine_dir) in words.read_text():
            os.kill(int(path.read_text()), signal.SIGKILL)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_nothing_is_installed_where_all_is_there(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx").engine("install")
    assert computer.note("apt") == ""


def test_an_engine_elsewhere_needs_no_dockerd(computer: Computer) -> None:
    computer.has("docker", "buildx", "engine").engine("install")
    assert computer.note("apt") == ""


def test_debian_12_gets_docker_and_only_docker_from_debian_13(computer: Computer) -> None:
    before = {path: path.read_bytes() for path in (computer.root / "etc/apt").rglob("*") if path.is_file()}
    computer.engine("install")
    assert computer.installed == ["ca-certificates", "docker-buildx", "docker-cli", "docker.io"]
    preferences = computer.note("preferences/dsvm")
    assert "Package: *\nPin: release n=trixie\nPin-Priority: -1\n" in preferences
    assert "Package: docker.io docker-cli docker-buildx\nPin: release n=trixie\nPin-Priority: 990\n" in preferences
    assert "DPkg::Lock::Timeout=300" in computer.note("apt")
    after = {path: path.read_bytes() for path in (computer.root / "etc/apt").rglob("*") if path.is_file()}
    assert after == before
    assert not list(computer.state.glob("tmp.*"))
    computer.engine("install")
    assert computer.note("apt").count(" install ") == 1


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        (
            "debian.sources",
            "# ours\nTypes: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n"
            "Components: main contrib\nSigned-By: /usr/share/keyrings/k.gpg\n\n"
            "Types: deb\nURIs: http://mirror.test/security\nSuites: bookworm-security\nComponents: main\n",
            "Types: deb\nURIs: http://mirror.test/debian\nSigned-By: /usr/share/keyrings/k.gpg\n"
            "Suites: trixie\nComponents: main\n\n",
        ),
        (
            "embedded.sources",
            "Types: deb\nURIs: http://mirror.test/debian\nSuites:\n bookworm\nComponents: main\nSigned-By:\n"
            " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n -----END PGP PUBLIC KEY BLOCK-----\n",
            "Types: deb\nURIs: http://mirror.test/debian\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n"
            " -----END PGP PUBLIC KEY BLOCK-----\nSuites: trixie\nComponents: main\n\n",
        ),
        (
            "debian.list",
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib\n"
            "deb-src http://mirror.test/debian bookworm main\n# deb http://old.test/debian bookworm main\n"
            "deb http://mirror.test/security bookworm-security main\n",
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian trixie main\n",
        ),
    ],
)
def test_the_archive_is_the_one_that_this_machine_uses(computer: Computer, name: str, text: str, wanted: str) -> None:
    computer.sources(name, text)
    computer.engine("install")
    assert computer.note("sources/dsvm-next" + Path(name).suffix) == wanted
    assert computer.note(f"sources/{name}") == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cd.list", "deb cdrom:[Debian]/ bookworm main\n"),
        (
            "off.sources",
            "Types: deb\nEnabled: no\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n",
        ),
        ("src.sources", "Types: deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n"),
    ],
)
def test_no_usable_archive_is_said(computer: Computer, name: str, text: str) -> None:
    computer.sources(name, text)
    assert "name no archive of bookworm" in computer.engine("install", code=4).stderr
    assert computer.note("apt") == ""


def test_only_what_is_missing_is_installed(computer: Computer) -> None:
    computer.has("docker").engine("install")
    assert computer.installed == ["ca-certificates", "docker-buildx", "docker.io"]


def test_an_old_buildx_is_replaced(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    (computer.state / "buildx").write_text("v0.9.1")
    computer.engine("install")
    assert computer.installed == ["docker-buildx"]


@pytest.mark.parametrize(
    ("identity", "version", "packages"),
    [
        ("debian", "13", ["ca-certificates", "docker-buildx", "docker-cli", "docker.io"]),
        ("debian", "", ["ca-certificates", "docker-buildx", "docker-cli", "docker.io"]),
        ("ubuntu", "24.04", ["ca-certificates", "docker-buildx", "docker.io"]),
    ],
)
def test_other_systems_have_all_in_their_own_archive(
    computer: Computer, identity: str, version: str, packages: list[str]
) -> None:
    computer.debian(version, "any", identity)
    computer.engine("install")
    assert computer.installed == packages
    assert "Dir::Etc" not in computer.note("apt")


def test_a_debian_that_is_too_old_is_said(computer: Computer) -> None:
    computer.debian("11", "bullseye")
    assert "Debian 11 has no Docker Engine" in computer.engine("install", code=4).stderr


def test_without_apt_the_missing_things_are_named(computer: Computer) -> None:
    (computer.bin / "apt-get").unlink()
    assert "missing: docker-cli docker.io docker-buildx" in computer.engine("install", code=4).stderr


def test_what_apt_says_is_shown_when_it_fails(computer: Computer) -> None:
    (computer.state / "broken-apt").touch()
    assert "E: no archive answers" in computer.engine("install", code=1).stderr
    assert not list(computer.state.glob("tmp.*"))


def test_apparmor_comes_along_where_the_kernel_has_it(computer: Computer) -> None:
    enabled = computer.root / "sys/module/apparmor/parameters/enabled"
    enabled.parent.mkdir(parents=True)
    enabled.write_text("Y\n")
    computer.engine("install")
    assert "apparmor" in computer.installed


def test_a_new_engine_has_the_fast_image_store(computer: Computer) -> None:
    computer.engine("install")
    configuration = json.loads((computer.root / "etc/docker/daemon.json").read_text())
    assert configuration == {"features": {"containerd-snapshotter": True}}


def test_a_configuration_that_is_there_is_kept(computer: Computer) -> None:
    configuration = computer.root / "etc/docker/daemon.json"
    configuration.parent.mkdir()
    configuration.write_text('{"debug": true}')
    computer.engine("install")
    assert configuration.read_text() == '{"debug": true}'


# --- scripts/base-tools -------------------------------------------------------------------------------------

BASE_TOOLS = SCRIPT.with_name("base-tools")


def knows(computer: Computer, package: str) -> None:
    """What apt's lists of this host hold, beside what every Debian has."""
    text = f'#!/bin/bash\nif [[ $* == "madison {package}" ]]; then echo "{package} | 1 | here"; fi\n'
    program(computer.bin / "apt-cache", text)


def has_base_tools(computer: Computer) -> Path:
    for name in ("mmdebstrap", "skopeo"):
        program(computer.bin / name, "#!/bin/bash\n")
    keyring = computer.root / "usr/share/keyrings/ubuntu-archive-keyring.gpg"
    keyring.parent.mkdir(parents=True)
    suites_of_ubuntu(computer).parent.mkdir(parents=True)
    suites_of_ubuntu(computer).touch()
    return keyring


def suites_of_ubuntu(computer: Computer) -> Path:
    return computer.root / "usr/share/distro-info/ubuntu.csv"


def test_base_tools_does_nothing_where_all_is_there(computer: Computer) -> None:
    has_base_tools(computer).touch()
    computer.script(BASE_TOOLS)
    assert computer.note("apt") == ""


def test_debian_12_gets_ubuntus_keyring_from_debian_13(computer: Computer) -> None:
    has_base_tools(computer)
    knows(computer, "something-else")
    computer.script(BASE_TOOLS)
    assert computer.installed == ["ubuntu-keyring"]
    assert "Package: ubuntu-keyring\nPin: release n=trixie\nPin-Priority: 990\n" in computer.note("preferences/dsvm")
    assert "Suites: trixie" in computer.note("sources/dsvm-next.sources")
    assert not list(computer.state.glob("tmp.*"))


def test_other_systems_have_ubuntus_keyring_in_their_own_archive(computer: Computer) -> None:
    has_base_tools(computer)
    knows(computer, "ubuntu-keyring")
    computer.script(BASE_TOOLS)
    assert computer.installed == ["ubuntu-keyring"]
    assert "Dir::Etc" not in computer.note("apt")


def test_without_ubuntus_keyring_the_rest_goes_on(computer: Computer) -> None:
    has_base_tools(computer)
    knows(computer, "something-else")
    computer.sources("cd.list", "deb cdrom:[Debian]/ bookworm main\n")
    done = computer.script(BASE_TOOLS)
    assert "name no archive of bookworm" in done.stderr
    assert "no Ubuntu variant can be locked here" in done.stderr
    assert computer.installed == []


def test_base_tools_are_installed_where_they_are_missing(computer: Computer) -> None:
    has_base_tools(computer).touch()
    (computer.bin / "skopeo").unlink()
    computer.script(BASE_TOOLS)
    assert {"debian-archive-keyring", "mmdebstrap", "skopeo"} <= set(computer.installed)


def test_mmdebstrap_gets_the_list_by_which_it_knows_ubuntus_suites(computer: Computer) -> None:
    has_base_tools(computer).touch()
    suites_of_ubuntu(computer).unlink()
    computer.script(BASE_TOOLS)
    assert computer.installed == ["distro-info-data"]


# --- scripts/engine start ------------------------------------------------------------------------------------


def test_an_engine_that_answers_is_used_as_it_is(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx", "engine")
    assert "using the one at unix:///var/run/docker.sock, 20.10.24" in computer.engine("start").stderr
    assert computer.engine("env").stdout == ""
    assert "20.10.24" in computer.engine("status").stderr
    assert computer.note("launched") == ""
    assert "no private one" in computer.engine("stop").stderr
    assert not computer.engine_dir.exists()


def test_systemd_starts_the_own_engine(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    (computer.root / "run/systemd/system").mkdir(parents=True)
    program(
        computer.bin / "systemctl",
        f'#!/bin/bash\necho "$*" >>{computer.state}/systemctl\n[[ $1 != start ]] || touch {computer.state}/answers\n',
    )
    computer.engine("start")
    assert "start docker\n" in computer.note("systemctl")
    assert computer.note("launched") == ""


def test_an_own_engine_that_this_user_may_not_use_stays_alone(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    (computer.root / "run/systemd/system").mkdir(parents=True)
    program(computer.bin / "systemctl", "#!/bin/bash\n")
    said = computer.engine("start").stderr
    assert "group docker" in said
    assert "engine: private, 26.1.5" in said


def test_the_life_of_a_private_engine(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    folder = computer.engine_dir
    assert "none answers" in computer.engine("status", code=4).stderr
    computer.engine("start")
    dockerd, containerd = computer.pid("dockerd"), computer.pid("containerd")
    assert alive(dockerd)
    assert alive(containerd)
    assert os.getsid(dockerd) == dockerd  # outlives the terminal
    words = computer.note("launched")
    for word in ("--data-root", "--exec-root", "--pidfile", "--containerd", "--config-file"):
        assert f"{word} {folder}/" in words
    assert json.loads((folder / "daemon.json").read_text()) == {"features": {"containerd-snapshotter": True}}
    assert computer.engine("env").stdout == f"export DOCKER_HOST=unix://{folder}/docker.sock\n"
    assert "private" in computer.engine("status").stderr

    assert "already runs" in computer.engine("start").stderr
    assert computer.pid("dockerd") == dockerd

    computer.engine("stop")
    assert not alive(dockerd)
    assert not alive(containerd)
    assert computer.engine("env").stdout == ""
    assert not (folder / "docker.sock").exists()
    computer.engine("start")
    computer.engine("stop")


def test_two_starts_at_once_give_one_engine(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    starts = [
        subprocess.Popen([SCRIPT, "start"], env=computer.environment, stderr=subprocess.DEVNULL) for _ in range(3)
    ]
    assert [start.wait(timeout=60) for start in starts] == [0, 0, 0]
    assert len([line for line in computer.note("launched").splitlines() if line.startswith("dockerd ")]) == 1
    computer.engine("stop")


@pytest.mark.parametrize("name", ["containerd", "dockerd"])
def test_a_daemon_that_fails_is_shown_and_leaves_nothing(computer: Computer, name: str) -> None:
    computer.has("docker", "dockerd", "buildx")
    (computer.state / f"broken-{name}").touch()
    began = time.monotonic()
    said = computer.engine("start", code=4).stderr
    assert time.monotonic() - began < 20
    assert f"boom: {name} cannot work here" in said
    assert f"{computer.engine_dir}/{name}.log" in said
    assert not list(computer.engine_dir.glob("*.pid"))
    assert "no private one" in computer.engine("stop").stderr
    (computer.state / f"broken-{name}").unlink()
    computer.engine("start")
    computer.engine("stop")


def test_a_killed_engine_starts_again(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx").engine("start")
    containerd = computer.pid("containerd")
    os.kill(computer.pid("dockerd"), signal.SIGKILL)
    computer.engine("start")
    assert not alive(containerd)
    assert alive(computer.pid("dockerd"))
    computer.engine("stop")


def test_a_foreign_process_with_a_recorded_number_is_left_alone(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    computer.engine_dir.mkdir()
    with subprocess.Popen(["sleep", "60"]) as foreign:
        for name in ("dockerd", "containerd"):
            (computer.engine_dir / f"{name}.pid").write_text(str(foreign.pid))
        assert "no private one" in computer.engine("stop").stderr
        computer.engine("start")
        computer.engine("stop")
        assert foreign.poll() is None
        foreign.kill()


def test_beside_another_dockerd_the_private_one_keeps_off_its_network(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    other = computer.root / "proc/4711"
    (other / "ns").mkdir(parents=True)
    (other / "comm").write_text("dockerd\n")
    (other / "ns/net").symlink_to(Path("/proc/self/ns/net").readlink())
    assert "another dockerd" in computer.engine("start").stderr
    configuration = json.loads((computer.engine_dir / "daemon.json").read_text())
    bridge = configuration["bridge"]
    assert bridge.startswith("dsvm-")
    assert len(bridge) <= 15
    assert configuration["iptables"] is False
    assert configuration["ip6tables"] is False
    assert f"addr add 172.30.0.1/16 dev {bridge}" in computer.note("ip")  # 172.31 is taken
    computer.engine("stop")
    assert f"link del {bridge}" in computer.note("ip")


def test_a_folder_too_long_for_a_socket_is_refused(computer: Computer) -> None:
    computer.has("docker", "dockerd", "buildx")
    computer.engine_dir = computer.engine_dir / ("x" * 90)
    assert "too long" in computer.engine("start", code=1).stderr


@pytest.mark.parametrize("words", [(), ("restart",), ("_no",)])
def test_an_unknown_command_is_answered_with_the_usage(computer: Computer, words: tuple[str, ...]) -> None:
    assert "Usage: scripts/engine install|start|stop|status|env" in computer.engine(*words, code=2).stderr
