"""What a fresh machine gets: the pinned dependencies, and the set-up that installs them."""

from __future__ import annotations

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


@pytest.mark.parametrize(("code", "said"), [(0, "installing dnf rpm"), (100, "tests of RPM packages will be skipped")])
def test_programs_for_rpm_packages_are_installed_or_done_without(checkout: Checkout, code: int, said: str) -> None:
    for name in ("bash", "dirname", "env"):
        (checkout.bin / name).symlink_to(str(shutil.which(name)))
    for name in ("apt-get", "sudo"):
        words = '"$@"' if name == "sudo" else f'echo "$*" >> {checkout.root}/calls; exit {code}'
        (checkout.bin / name).write_text(f"#!{shutil.which('sh')}\n{words}\n")
        (checkout.bin / name).chmod(0o755)
    lib = checkout.root / "scripts/lib"
    script = f'. "{lib}/common.sh"; PATH={checkout.bin}; . "{lib}/setup.sh"; setup_rpm_tools'
    environment = {"PATH": str(checkout.bin), "HOME": str(checkout.root)}
    argv = [str(shutil.which("bash")), "-euo", "pipefail", "-c", script]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert said in done.stderr
    calls = (checkout.root / "calls").read_text().splitlines()
    assert calls[0].endswith("update")
    assert code or all(name in calls[1].split() for name in ("dnf", "rpm", "createrepo-c", "gpg"))


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
