"""apt: what is read from its answers, and that it sees nothing of the host's own configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from tiny import project

from dsvm.ecosystems import Context, Request
from dsvm.ecosystems.apt import ecosystem as apt
from dsvm.host import Host
from dsvm.model import LockError, Pin
from dsvm.model.bases import Bootstrap
from dsvm.store import Store

POOL, A, B = "http://mirror.example", "a" * 64, "b" * 64
URIS = f"""\
Reading package lists...
'{POOL}/debian/pool/main/g/git/git_2.39.5-0%2bdeb12u2_amd64.deb' git_1%3a2.39.5-0+deb12u2_amd64.deb 7256 SHA256:{A}
'{POOL}/debian-security/pool/updates/main/c/curl/curl_7.88_amd64.deb' curl_7.88_amd64.deb 315 SHA256:{B}
"""


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on PATH, for programs that stand in for apt's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    program(folder, "apt-get", 'echo "$APT_CONFIG $*" >> "$(dirname "$0")/calls"')
    program(folder, "apt-cache", 'echo "$APT_CONFIG $*" >> "$(dirname "$0")/calls"')
    return folder


@pytest.fixture
def context(tmp_path: Path) -> Context:
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(b"")
    suites = ("debian/bookworm", "debian-security/bookworm-security")
    base = project().bases["debian-12"]
    # the pattern of a path in an image does not fit a test's folder
    base = base.model_copy(update={"bootstrap": Bootstrap.model_construct(
        suites=suites, components=("main",), keyring=str(keyring), include=())})  # fmt: skip
    mirrors = {name: (f"http://mirror.example/{name}",) for name in ("debian", "debian-security")}
    work = tmp_path / "work"
    work.mkdir()
    host = Host(environ={"HOME": str(tmp_path)}, sources=mirrors, etc=tmp_path / "etc")
    return Context(base=base, host=host, store=Store(tmp_path / "store"), work=work)


def test_pins_hold_the_pool_path_the_archive_s_name_and_the_whole_version(fakes: Path, context: Context) -> None:
    program(fakes, "apt-get", f"cat <<'END'\n{URIS}END")
    pins, extra = apt.ECOSYSTEM.resolve(Request("system", "system", (("git",), ("curl", "git"))), context)
    assert extra == {}
    assert list(pins) == [
        Pin(name="curl", version="7.88", file="pool/updates/main/c/curl/curl_7.88_amd64.deb", size=315,
            sha256="b" * 64, registry="debian-security"),
        Pin(name="git", version="1:2.39.5-0+deb12u2", file="pool/main/g/git/git_2.39.5-0+deb12u2_amd64.deb",
            size=7256, sha256="a" * 64, registry="debian"),
    ]  # fmt: skip
    assert list(apt.ECOSYSTEM.locate(pins[1], context)) == [f"http://mirror.example/debian/{pins[1].file}"]


def test_apt_runs_in_a_root_of_its_own(fakes: Path, context: Context) -> None:
    apt.ECOSYSTEM.resolve(Request("system", "system", (("git",),)), context)
    calls = (fakes / "calls").read_text().splitlines()
    assert "update" in calls[0]
    assert calls[1].endswith("install git")
    config = Path(calls[0].split()[0])
    assert config.is_relative_to(context.work)
    text = config.read_text()
    for place in ("Dir::Etc::SourceParts", "Dir::State::Status", "Dir::State::Lists", "Dir::Cache"):
        assert f'{place} "{context.work}' in text
    assert context.base.bootstrap is not None
    sources = (config.parent / "sources.list").read_text()
    assert sources.splitlines()[0] == (
        f"deb [arch=amd64 signed-by={context.base.bootstrap.keyring}] http://mirror.example/debian bookworm main"
    )


def test_the_lists_are_brought_up_to_date_once(fakes: Path, context: Context) -> None:
    for _ in range(3):
        apt.ECOSYSTEM.resolve(Request("system", "system", (("git",),)), context)
    calls = (fakes / "calls").read_text().splitlines()
    assert sum("update" in call for call in calls) == 1


def test_no_solution_is_said_in_apt_s_own_words(fakes: Path, context: Context) -> None:
    answer = 'case "$*" in *update*) exit 0;; esac; echo "E: Unable to locate package gti" >&2; exit 100'
    program(fakes, "apt-get", answer)
    with pytest.raises(LockError, match=r"(?s)no solution for system.*Unable to locate package gti") as caught:
        apt.ECOSYSTEM.resolve(Request("system", "system", (("gti",),)), context)
    assert caught.value.exit_code == 3


def test_an_archive_out_of_reach_is_a_lock_error(fakes: Path, context: Context) -> None:
    program(fakes, "apt-get", 'echo "E: Failed to fetch http://mirror.example  Could not resolve" >&2; exit 100')
    with pytest.raises(LockError, match=r"(?s)archive cannot be read.*Could not resolve"):
        apt.ECOSYSTEM.resolve(Request("system", "system", (("git",),)), context)


def test_a_missing_keyring_is_said_before_anything_runs(fakes: Path, context: Context) -> None:
    assert context.base.bootstrap is not None
    Path(str(context.base.bootstrap.keyring)).unlink()
    with pytest.raises(LockError, match="no such keyring"):
        apt.ECOSYSTEM.resolve(Request("system", "system", (("git",),)), context)
    assert not (fakes / "calls").exists()


def test_probing_names_what_the_archive_lacks(fakes: Path, context: Context) -> None:
    policy = "git:\n  Installed: (none)\n  Candidate: 1:2.39\nvirtual:\n  Installed: (none)\n  Candidate: (none)\n"
    program(fakes, "apt-cache", f"cat <<'END'\n{policy}END")
    assert apt.ECOSYSTEM.probe(("git",), None, context) is None
    fault = apt.ECOSYSTEM.probe(("git", "virtual", "nothing"), None, context)
    assert fault is not None
    assert fault.startswith("virtual, nothing: not in debian/bookworm")


def test_the_base_counts_as_installed(fakes: Path, context: Context) -> None:
    shown = "Package: dpkg\nVersion: 1.21\nDepends: tar\n\nPackage: tar\nVersion: 1.34\n"
    program(fakes, "apt-cache", f"cat <<'END'\n{shown}END")
    pin = Pin(name="dpkg", version="1.21", file="x", size=1, sha256="0" * 64, registry="debian")
    status = apt.ECOSYSTEM.status([pin], context)
    assert status.count("Status: install ok installed\n") == 2


def test_what_is_installed_is_read_whole() -> None:
    def run(argv: object) -> str:
        return "ii \tgit\t1:2.39\nrc \told\t1.0\niU \thalf\t2.0\nii \tcurl\t7.88\n"

    section = project().bases  # any section will do: the answer is the whole system
    assert section
    assert apt.ECOSYSTEM.installed(None, run) == {"git": "1:2.39", "curl": "7.88"}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "-o=x", "a b", "Git", "git;id", "git=1.0", "?essential", "git/sid", "../x"])
def test_only_package_names_are_requests(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(apt.ECOSYSTEM.request_type).validate_python([name])
