"""What a fresh machine gets: the pinned dependencies, and the set-up that installs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def asked(*groups: str) -> list[Requirement]:
    words = [*PROJECT["project"]["dependencies"]]
    for group in groups:
        words += PROJECT["dependency-groups"][group]
    return [Requirement(word) for word in words]


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


@pytest.mark.parametrize(
    ("name", "groups"), [("requirements.txt", ["build"]), ("requirements-dev.txt", ["build", "dev"])]
)
def test_the_pins_are_what_pyproject_asks_for(name: str, groups: list[str]) -> None:
    pinned = pins(name)
    wrong = [
        str(requirement)
        for requirement in asked(*groups)
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]
    assert not wrong, "run scripts/update-requirements"


def test_development_adds_to_the_pins_and_changes_none() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_has_a_hash_and_none_names_a_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)  # an index or a find-links folder of one machine
    entries = re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 30
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


class Checkout:
    """A copy of the set-up scripts with requirements of its own, and a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.bin = folder / "bin"
        shutil.copytree(ROOT / "scripts/lib", self.root / "scripts/lib")
        (self.root / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "nothing"\nversion = "1"\n'
        )
        # The smallest build backend there is: installs nothing but the name.
        (self.root / "backend.py").write_text(
            "import zipfile\n"
            "def build_editable(folder, config=None, metadata=None):\n"
            "    info = 'nothing-1.dist-info'\n"
            "    with zipfile.ZipFile(folder + '/nothing-1-py3-none-any.whl', 'w') as wheel:\n"
            "        wheel.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: nothing\\nVersion: 1\\n')\n"
            "        wheel.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\n'"
            " 'Root-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
            "        wheel.writestr(info + '/RECORD', '')\n"
            "    return 'nothing-1-py3-none-any.whl'\n"
        )
        for name in ("requirements.txt", "requirements-dev.txt"):
            (self.root / name).write_text("")
        self.bin.mkdir()

    def set_up(self, file: str = "requirements.txt", **environment: str) -> subprocess.CompletedProcess[str]:
        lib = self.root / "scripts/lib"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f'. "{lib}/common.sh"; . "{lib}/setup.sh"; setup_venv {file}'],
            env={"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.root), "PIP_NO_INDEX": "1", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_python_that_is_too_old_is_said(checkout: Checkout) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        program = checkout.bin / name
        program.write_text('#!/bin/sh\n[ "$1" != --version ] || echo Python 3.9.2\nexit 1\n')
        program.chmod(0o755)
    done = checkout.set_up()
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "apt-get install python3.11" in done.stderr
    assert not (checkout.root / ".venv").exists()


def set_up_programs(checkout: Checkout, apt_get: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """The set-up of unit tests on a machine that has nothing, and the calls of its apt-get, a script of sh."""
    for name in ("bash", "dirname", "env"):
        (checkout.bin / name).symlink_to(str(shutil.which(name)))
    for name, text in {"sudo": '"$@"', "apt-get": f'echo "$*" >> {checkout.root}/calls\n{apt_get}'}.items():
        (checkout.bin / name).write_text(f"#!{shutil.which('sh')}\n{text}\n")
        (checkout.bin / name).chmod(0o755)
    lib = checkout.root / "scripts/lib"
    script = f'. "{lib}/common.sh"; PATH={checkout.bin}; . "{lib}/setup.sh"; setup_unit_test_programs'
    environment = {"PATH": str(checkout.bin), "HOME": str(checkout.root)}
    argv = [str(shutil.which("bash")), "-euo", "pipefail", "-c", script]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    return done, [call.split() for call in (checkout.root / "calls").read_text().splitlines()]


def test_programs_that_unit_tests_need_are_installed(checkout: Checkout) -> None:
    (checkout.bin / "gcc").touch(mode=0o755)
    done, (update, install) = set_up_programs(checkout, "exit 0")
    assert (done.returncode, update[-1]) == (0, "update")
    assert {"dnf", "rpm", "createrepo-c", "gpg", "packer", "qemu-utils", "mtools", "r-base-core"} <= set(install)
    assert "gcc" not in install, "it is there"
    assert "will be skipped" not in done.stderr


def test_a_program_that_the_distribution_lacks_costs_only_its_own_tests(checkout: Checkout) -> None:
    lacks_packer = 'case "$*" in *packer*) echo "E: Unable to locate package packer"; exit 100 ;; esac'
    done, calls = set_up_programs(checkout, lacks_packer)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "skipped" in line] == [
        "tests that need packer will be skipped"
    ]
    assert {call[-1] for call in calls} >= {"dnf", "r-base-core", "packer", "openssh-client"}


def test_axe_is_installed_by_its_lock_and_once(checkout: Checkout) -> None:
    npm = checkout.root / ".venv/bin/npm"
    npm.parent.mkdir(parents=True)
    npm.write_text(f'#!/bin/sh\necho "$*" >> {checkout.root}/calls\nmkdir {checkout.root}/.venv/axe/node_modules\n')
    npm.chmod(0o755)
    shutil.copytree(ROOT / "tests/programs/axe", checkout.root / "tests/programs/axe")
    lib = checkout.root / "scripts/lib"
    argv = ["bash", "-euo", "pipefail", "-c", f'. "{lib}/common.sh"; . "{lib}/setup.sh"; setup_axe; setup_axe']
    subprocess.run(argv, env={"PATH": "/usr/bin:/bin", "HOME": str(checkout.root)}, check=True)
    (call,) = (checkout.root / "calls").read_text().splitlines()
    assert call.startswith(f"ci --prefix {checkout.root}/.venv/axe --ignore-scripts")
    lock = json.loads((checkout.root / ".venv/axe/package-lock.json").read_text())
    axe = lock["packages"]["node_modules/axe-core"]
    assert axe["integrity"].startswith("sha512-") and "resolved" not in axe, "by digest, from wherever npm has it"


def test_aws_is_installed_by_its_list_and_once(checkout: Checkout) -> None:
    python = checkout.root / ".venv/bin/python3"
    python.parent.mkdir(parents=True)
    makes = 'test "$2" != venv || { mkdir -p "$4/bin"; cp "$0" "$4/bin"; }'
    python.write_text(f'#!/bin/sh\necho "$*" >> {checkout.root}/calls\n{makes}\n')
    python.chmod(0o755)
    shutil.copytree(ROOT / "tests/programs/aws", checkout.root / "tests/programs/aws")
    lib = checkout.root / "scripts/lib"
    argv = ["bash", "-euo", "pipefail", "-c", f'. "{lib}/common.sh"; . "{lib}/setup.sh"; setup_aws; setup_aws']
    subprocess.run(argv, env={"PATH": "/usr/bin:/bin", "HOME": str(checkout.root)}, check=True)
    made, installed = (checkout.root / "calls").read_text().splitlines()
    assert made == f"-m venv --clear {checkout.root}/.venv/aws"
    assert "--require-hashes" in installed and installed.endswith("tests/programs/aws/requirements.txt")


def test_azure_is_installed_by_its_lists_and_once(checkout: Checkout) -> None:
    place = checkout.root / ".venv/azure"
    folder = checkout.root / ".venv/bin"
    folder.mkdir(parents=True)
    makes = 'test "$2" != venv || { mkdir -p "$4/bin"; cp "$0" "$4/bin"; }'
    for name in ("python3", "npm"):
        (folder / name).write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >> {checkout.root}/calls\n{makes}\n')
        (folder / name).chmod(0o755)
    wanted = checkout.root / "tests/programs/azure"
    shutil.copytree(ROOT / "tests/programs/azure", wanted)
    lib = checkout.root / "scripts/lib"
    set_up = ["bash", "-euo", "pipefail", "-c", f'. "{lib}/common.sh"; . "{lib}/setup.sh"; setup_azure; setup_azure']

    def calls() -> list[str]:
        (checkout.root / "calls").write_text("")
        subprocess.run(set_up, env={"PATH": "/usr/bin:/bin", "HOME": str(checkout.root)}, check=True)
        return (checkout.root / "calls").read_text().splitlines()

    made, fetched, installed = calls()
    assert made == f"python3 -m venv --clear {place}"
    assert fetched.startswith(f"npm ci --prefix {place} --ignore-scripts")
    assert "--require-hashes" in installed and installed.endswith("tests/programs/azure/requirements.txt")
    locked = json.loads((place / "package-lock.json").read_text())["packages"]
    assert all("integrity" in one and "resolved" not in one for name, one in locked.items() if name)
    for name in ("requirements.txt", "package-lock.json"):
        (wanted / name).write_text((wanted / name).read_text() + "\n")
        assert len(calls()) == 3, "another list, another place"


def test_the_life_of_a_virtual_environment(checkout: Checkout) -> None:
    first = checkout.set_up("requirements-dev.txt", PYTHON=sys.executable)
    assert first.returncode == 0, first.stderr
    assert "making .venv" in first.stderr

    for file in ("requirements-dev.txt", "requirements.txt"):
        again = checkout.set_up(file, PYTHON=sys.executable)
        assert (again.returncode, again.stderr) == (0, "")

    (checkout.root / "requirements.txt").write_text("# something else\n")
    changed = checkout.set_up(PYTHON=sys.executable)
    assert changed.returncode == 0, changed.stderr
    assert "installing what requirements.txt pins" in changed.stderr
    assert "making .venv" not in changed.stderr

    (checkout.root / "requirements.txt").write_text(f"absent==1 --hash=sha256:{'0' * 64}\n")
    for _ in range(2):  # a failed set-up does not count as done
        failed = checkout.set_up(PYTHON=sys.executable)
        assert failed.returncode != 0
        assert "absent==1" in failed.stderr

    # Programs in .venv name the folder that they were made in: a moved one is made anew.
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    python = checkout.bin / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" != venv ] || exit 9\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    moved = checkout.set_up(PYTHON=str(python))
    assert moved.returncode == 9
    assert "making .venv" in moved.stderr


@pytest.mark.parametrize("served", [True, False])
def test_cosign_comes_from_here_or_from_the_next_debian(served: bool, checkout: Checkout) -> None:
    madison = "echo 'cosign | 3.1.1'" if served else "exit 0"
    texts = {"sudo": '"$@"', "apt-cache": madison, "apt-get": f'echo "$*" >> {checkout.root}/calls\nexit 0'}
    for name, text in texts.items():
        (checkout.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (checkout.bin / name).chmod(0o755)
    machine = checkout.root / "machine"
    (machine / "etc/apt/sources.list.d").mkdir(parents=True)
    (machine / "etc/apt/sources.list").write_text("deb http://mirror.example/debian bookworm main\n")
    (machine / "etc/apt/preferences.d").mkdir()
    for name in ("awk", "bash", "cat", "chmod", "cp", "dirname", "env", "mktemp", "mkdir", "rm"):
        (checkout.bin / name).symlink_to(str(shutil.which(name)))
    lib = checkout.root / "scripts/lib"
    script = f'. "{lib}/common.sh"; PATH={checkout.bin}; machine={machine}; . "{lib}/setup.sh"; setup_cosign'
    argv = [str(shutil.which("bash")), "-euo", "pipefail", "-c", script]
    environment = {"PATH": str(checkout.bin), "HOME": str(checkout.root)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    last = (checkout.root / "calls").read_text().splitlines()[-1]
    assert last.endswith("install -y cosign") and ("Dir::State::Lists" not in last) is served
    assert ("from Debian 13: cosign" in done.stderr) is not served
