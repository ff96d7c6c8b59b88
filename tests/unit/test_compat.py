"""The gate: what it refuses, why, and that it does so before anything is asked for or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import warm
from compat_world import (
    ROOT,
    TENSORFLOW,
    TODAY,
    TORCH,
    found,
    load,
    locked,
    overlay,
    write,
)
from server import Server
from tiny import project

from dsvm import gate as compat
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.gate.rules import Finding
from dsvm.model import InputError, PolicyError
from dsvm.session import Session, gate_variant

# --- what must be refused, as a user meets it --------------------------------------------------------------

REFUSED: Mapping[str, tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Any], str, tuple[str, ...]]] = {
    "CUDA 13 with driver 550": (
        {"pytorch": TORCH},
        {"driver": 550},
        "driver",
        (
            "CUDA 13 needs driver 580 or newer, and the machines have 550: pytorch with CUDA 13.0",
            "CUDA Compatibility",
            "2026-11-22",
            "CUDA 12",
        ),
    ),
    "CUDA 13 with the driver of Debian itself": (
        {"pytorch": TORCH, "nvidia-driver": {"apt": ["nvidia-kernel-dkms"], "driver": 550}},
        {},
        "driver",
        ("CUDA 13 needs driver 580 or newer, and nvidia-driver brings 550: pytorch with CUDA 13.0", "another source"),
    ),
    "TensorFlow and PyTorch cu130 in one environment": (
        {"pytorch": {**TORCH, "env": "deep"}, "tensorflow": {**TENSORFLOW, "env": "deep"}},
        {},
        "one-cuda",
        ("pytorch (torch ~=2.13) carries CUDA 13.0", "tensorflow ~=2.21 carries CUDA 12", "environments of their own"),
    ),
    "PyTorch cu130 for a V100": (
        {"pytorch": TORCH},
        {"gpus": ["v100", "a100"]},
        "gpu-architecture",
        ("v100 is sm_70", "torch for CUDA 13.0 carries sm_75 to sm_120", "build for CUDA 12.6"),
    ),
    "JAX 0.12 on Python 3.11": (
        {"jax": {"pypi": ["jax[cuda13] ~= 0.12"], "cuda": "13"}},
        {"base": "debian-12"},
        "python",
        ("jax ~=0.12 needs Python >= 3.12", "base 'debian-12' has 3.11", "jax 0.10.2"),
    ),
}


def command(*words: str | Path, server: Server, home: Path) -> subprocess.CompletedProcess[str]:
    """A command of ours on a machine whose every registry is the test's server."""
    config = home / "config.yaml"
    write(config, {"sources": dict.fromkeys(("pypi", "debian", "debian-security"), server.url)})
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "DSVM_CONFIG": str(config), "DSVM_STORE": str(home / "store")}
    return warm.invoke(words, env)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_its_rule_before_anything_is_asked(
    case: str, tmp_path: Path, server: Server
) -> None:
    tools, variant, rule, words = REFUSED[case]
    mine = overlay(tmp_path / "mine", tools, **variant)
    done = command("lock", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"mine: rule {rule}: " in done.stderr
    assert [word for word in words if word not in done.stderr] == []
    assert done.stderr.count(": rule ") == 1, "nothing else is wrong with it"
    assert f"invoke compat --explain mine --catalog {mine}" in done.stderr
    assert "Traceback" not in done.stderr
    assert server.requests == []
    assert not (mine / "locks").exists()


def test_build_and_the_reasoning_refuse_it_too_and_all_violations_come_at_once(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH, "jax": {"pypi": ["jax ~= 0.12"]}}, base="debian-12")
    asked = ("--gpu", "v100,t4,p100", "--driver", "550")
    for words in (("build", "--variant", "mine"), ("lock", "--variant", "mine"), ("compat", "--explain", "mine")):
        done = command(*words, *asked, "--catalog", mine, server=server, home=tmp_path)
        assert done.returncode == 2
        for rule in ("python", "driver", "gpu-architecture"):
            assert done.stderr.count(f"mine: rule {rule}: ") == 1
        assert "v100 is sm_70, p100 is sm_60, and" in done.stderr
        assert server.requests == []


def test_a_render_is_refused_as_well_before_there_is_a_lock(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH}, driver=550, gpus="V100")
    done = command("render", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2
    for rule in ("driver", "gpu-architecture"):
        assert f"mine: rule {rule}: " in done.stderr
    mine = overlay(tmp_path / "fine", {"pytorch": TORCH})
    done = command("render", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, "error: mine has no lock")


def test_the_reasoning_names_every_rule_what_it_saw_and_the_source(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH}, driver="580.95.05", gpus=["h100"])
    done = command("compat", "--explain", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [name for name in map(compat.rule_name, compat.RULES) if f"\n{name}: " not in done.stdout] == []
    assert "CUDA 13 needs driver 580 or newer, and the machines have 580: pytorch with CUDA 13.0" in done.stdout
    assert "pytorch (torch ~=2.13): h100; torch for CUDA 13.0 carries sm_75 to sm_120" in done.stdout
    assert "source: NVIDIA, CUDA Compatibility" in done.stdout
    assert "\033" not in done.stdout
    assert "mine fits together" in done.stdout


def test_the_table_shows_every_row_with_its_source_and_a_verdict_for_each_variant(
    tmp_path: Path, server: Server
) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH}, driver="550")
    done = command("compat", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    for table in project().compat.tables.values():
        for row in table:
            words = {*row.key, str(row.date), row.source}
            assert any(set(words) <= {word.removeprefix("sm_") for word in line} for line in lines), row
    assert any(line[:2] == ["mine", "promises"] and "refused:" in line and "driver" in line for line in lines)


def test_a_gpu_or_driver_that_nobody_knows_is_an_input_error(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH})
    done = command("lock", "--variant", "mine", "--gpu", "v10O", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2
    assert "unknown GPU 'v10O' (did you mean 'v100'?)" in done.stderr
    done = command("lock", "--variant", "mine", "--driver", "new", "--catalog", mine, server=server, home=tmp_path)
    assert (done.returncode, "'new' is no NVIDIA driver branch" in done.stderr) == (2, True)


def test_a_contradiction_that_only_the_lock_shows_stops_a_render_too(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH})
    lock = locked(mine, {"base": {}, "env-pytorch": {"torch": "2.13.0+cu130", "nvidia-nccl-cu12": "2.27.5"}})
    locks.write(mine / "locks/mine.json", lock)
    done = command("render", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2
    assert "rule one-cuda: env-pytorch holds CUDA 12 by nvidia-nccl-cu12; CUDA 13 by torch" in done.stderr


# --- dates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("today", "expected"), [
    (date(2027, 12, 31), "ok"), (date(2028, 2, 20), "warning"), (date(2029, 8, 4), "warning"),
    (date(2030, 8, 4), "warning"), (date(2030, 8, 5), "error"),
])  # fmt: skip
def test_an_end_is_near_past_and_at_last_too_long_ago(tmp_path: Path, today: date, expected: str) -> None:
    """Driver 580 ends 2028-08-04; 180 days before that is near, and 730 days of grace follow it."""
    mine = overlay(tmp_path, {"pytorch": TORCH}, driver="580")
    (mine / "compat.yaml").unlink()
    driver = [one for one in found(mine, today=today) if one.what.startswith("nvidia-driver 580")]
    assert [one.level for one in driver] == [expected]


def test_dates_alone_are_the_policy_s_and_contradictions_the_input_s(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH}, driver="580")
    (mine / "compat.yaml").unlink()
    late = found(mine, today=date(2040, 1, 1))
    with pytest.raises(
        PolicyError, match=r"mine: rule end-of-life: nvidia-driver 580: support ended 2028-08-04"
    ) as caught:
        compat.refuse("mine", late)
    assert caught.value.exit_code == 7
    assert "policy.grace.nvidia-driver" in caught.value.message
    with pytest.raises(InputError):
        compat.refuse("mine", [*late, Finding("driver", "error", "too old")])


def test_warnings_are_said_once_and_stop_nothing(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH}, driver="550")
    said: list[str] = []
    session = Session(said.append, said.append, overlays=[mine], driver="550", gpus=[])
    for _ in range(2):
        with pytest.raises(InputError, match="rule driver"):
            gate_variant(session, "mine")
    assert [line for line in said if "nvidia-driver 550: support ended 2025-04-17" in line] == [
        "end-of-life: nvidia-driver 550: support ended 2025-04-17"
    ]


# --- how it works ------------------------------------------------------------------------------------------


def many(folder: Path, number: int) -> Catalog:
    tools = {f"tool{n}": {"pypi": ["torch ~= 2.13"], "cuda": "13.0", "env": f"env{n}"} for n in range(number)}
    return load(overlay(folder, tools, driver="580", gpus=["h100", "b200"]))


def test_the_work_grows_with_the_tools_and_no_faster(tmp_path: Path) -> None:
    def calls(number: int) -> int:
        ours = many(tmp_path / str(number), number)
        count = 0

        def one(frame: object, event: str, arg: object) -> None:
            nonlocal count
            count += event == "call"

        compat.examine(compat.make_scene(ours, ours.variant("mine"), today=TODAY))  # what is cached is cached
        sys.setprofile(one)
        try:
            compat.examine(compat.make_scene(ours, ours.variant("mine"), today=TODAY))
        finally:
            sys.setprofile(None)
        return count

    small, large = calls(20), calls(80)
    assert small > 100
    assert large < 6 * small


def test_judging_reads_nothing(tmp_path: Path) -> None:
    """No file, no socket, no program: in a process of its own, since an audit hook stays for good."""
    overlay(tmp_path, {"pytorch": TORCH}, driver="550", gpus=["v100"])
    program = """
import sys, json
from pathlib import Path
from dsvm import catalog, gate
ours = catalog.load([Path(sys.argv[1])])
seen = []
sys.addaudithook(lambda event, args: seen.append([event, str(args[0]) if args else ""]))
found = gate.examine(gate.make_scene(ours, ours.variant("mine")))
busy = [one for one in seen if one[0].split(".")[0] in ("open", "socket", "subprocess", "os")]
# a module that is imported late is no input
busy = [[event, what] for event, what in busy if not what.endswith((".py", ".pyi", ".pyc")) and event != "os.listdir"]
print(json.dumps([len(gate.violations(found)), busy]))
"""
    words = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [2, []]
