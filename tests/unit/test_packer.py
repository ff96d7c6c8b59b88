"""Packer: values from manifests in its templates, which Packer there is, and what a run of it is given."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hcl2
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from dsvm.model import EngineError, Plan
from dsvm.plan import make_plan
from dsvm.plan import rendering as render
from dsvm.vm import packer

PROVISIONERS = ("wait-until-up", "clean")
real_packer = pytest.mark.skipif(shutil.which("packer") is None, reason="needs packer")


def machine_plan() -> Plan:
    catalog = tiny.machine_catalog()
    return make_plan(catalog, tiny.lock(catalog, "tiny-machine"), "qcow2")


# --- templates -----------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_comes_out_of_hcl_as_it_went_in(value: str) -> None:
    text = render.hcl(value)
    assert "\n" not in text
    # where no template begins a quoted string is HCL's and JSON's alike
    assert "${" not in text and "%{" not in text
    parsed = hcl2.loads(f"a = {text}\n")["a"]
    assert json.loads(parsed) == value


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4))
def test_a_list_of_values_does_too(values: list[str]) -> None:
    parsed = hcl2.loads(f"a = {render.hcl(values)}\n")["a"]
    assert [json.loads(one) for one in parsed] == values


def test_the_template_is_hcl_with_one_build() -> None:
    files = render.packer_files(machine_plan(), plugins=True)
    parsed = {name: hcl2.loads(text) for name, text in files.items()}
    builds = [one for file in parsed.values() for one in file.get("build", [])]
    assert len(builds) == 1
    assert [name for name, file in parsed.items() if "packer" in file] == ["plugins.pkr.hcl"]
    assert "plugins.pkr.hcl" not in render.packer_files(machine_plan(), plugins=False)
    scripts = [block['"shell"']["script"] for block in builds[0]["provisioner"]]
    assert [one.rpartition("/")[2].strip('"') for one in scripts] == [*PROVISIONERS]


@real_packer
def test_packer_takes_the_template(tmp_path: Path) -> None:
    plan = machine_plan()
    render.write_packer(plan, tmp_path / "packer", plugins=False)
    (tmp_path / "key").write_text("")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "made"], check=True)
    values = {"output": "o", "disk": "d", "firmware": "f", "serial_log": "s", "credential": "c"}
    values |= {"accelerator": "tcg", "processor": "max", "key": str(tmp_path / "made")}
    (tmp_path / "run.pkrvars.json").write_text(json.dumps(values))

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        argv = ["packer", *words, tmp_path / "packer"]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env={"CHECKPOINT_DISABLE": "1"})

    formatted = run("fmt", "-check", "-diff")
    assert (formatted.returncode, formatted.stdout.strip()) == (0, ""), formatted.stdout
    done = run("validate", f"-var-file={tmp_path / 'run.pkrvars.json'}")
    assert done.returncode == 0, done.stdout + done.stderr
    refused = run("validate", f"-var-file={tmp_path / 'run.pkrvars.json'}", "-var", "accelerator=fast")
    assert refused.returncode != 0
    assert "kvm or tcg" in refused.stdout + refused.stderr


# --- which Packer --------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only folder with programs."""
    packer.version.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    yield tmp_path
    packer.version.cache_clear()


def fake(folder: Path, says: str) -> None:
    (folder / "packer").write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / "packer").chmod(0o755)


def test_no_packer(path: Path) -> None:
    with pytest.raises(EngineError, match="packer: not installed") as caught:
        packer.version()
    assert "apt-get install packer" in caught.value.hint


@pytest.mark.parametrize(
    ("says", "words"), [("Packer v1.5.6", "Packer 1.5.6 is too old"), ("cracklib", "is this HashiCorp's Packer?")]
)
def test_a_packer_that_does_not_do(path: Path, says: str, words: str) -> None:
    fake(path, says)  # cracklib's program of that name is on Red Hat's systems
    with pytest.raises(EngineError, match=words.replace("?", r"\?")):
        packer.version()


@pytest.mark.parametrize(("version", "plugins"), [("1.6.6", False), ("1.7.0", True), ("1.11.2", True)])
def test_plugins_are_named_where_packer_has_them_outside(path: Path, version: str, plugins: bool) -> None:
    fake(path, f"Packer v{version}")
    assert packer.needs_plugins() is plugins


def test_the_credential_lets_the_key_in_and_marks_the_build() -> None:
    lines = base64.b64decode(packer.credential("ssh-ed25519 AAAA dsvm")).decode().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["d", "/root/.ssh"],
        ["f~", "/root/.ssh/authorized_keys"],
        ["f", "/run/dsvm-build"],
    ]
    assert base64.b64decode(lines[1].split()[-1]) == b"ssh-ed25519 AAAA dsvm\n"
