"""Environments that share packages, by `invoke lock` and by real solving."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest
from small_world import SmallWorld, tool
from test_pypi import wheel

from dsvm import lock as locks
from dsvm.lock.sharing import WORTH
from dsvm.model import Hold, Holds, Lock

LARGE = {"big": bytes(WORTH)}


def add(world: SmallWorld, name: str, version: str, *requires: str, large: bool = False) -> None:
    file, data = wheel(name, version, requires=requires, files=LARGE if large else {})
    (world.wheels / file).write_bytes(data)


@pytest.fixture
def world(tmp_path: Path) -> SmallWorld:
    """`library` is large, `headers` small and numbered like it, `tiny` small and numbered otherwise.

    `picky` needs the old ones of all, `easy` takes any, `choosy` needs the new library since its version 2.
    """
    world = SmallWorld(tmp_path)
    world.set_up()
    for name in ("ipykernel", "pip"):
        add(world, name, "1.0")
    for version, small in (("1.0", "3.1"), ("2.0", "3.2")):
        add(world, "library", version, large=True)
        add(world, "headers", version)
        add(world, "tiny", small)
    add(world, "picky", "1.0", "library == 1.0", "headers == 1.0", "tiny == 3.1")
    add(world, "easy", "1.0", "library", "headers", "tiny")
    add(world, "choosy", "1.0", "library")
    add(world, "choosy", "2.0", "library >= 2")
    for name, wanted in {"picky": ["picky"], "easy": ["easy"], "choosy": ["choosy"], "namer": ["library"]}.items():
        world.write(f"tools/{name}.yaml", tool(name, {"pypi": wanted}, env=name))
    return world


def locked(world: SmallWorld, tools: Sequence[str], *options: str) -> tuple[Lock, str]:
    """The lock of a variant of `tools`, and what is said while it is made."""
    world.write("variants/v.yaml", {"variant": "v", "base": "debian-12", "accelerator": "cpu", "tools": [*tools]})
    done = world.invoke("lock", "--variant", "v", *options)
    assert done.returncode == 0, done.stderr
    return locks.read(path(world)), done.stdout + done.stderr


def path(world: SmallWorld) -> Path:
    return world.mine / "locks" / "v.json"


def versions(lock: Lock, env: str) -> dict[str, str]:
    section = lock.section(f"env-{env}")
    assert section is not None
    return {pin.name: pin.version for pin in section.pins if pin.name not in ("ipykernel", "pip")}


OLD = {"library": "1.0", "headers": "1.0", "tiny": "3.1"}
NEW = {"library": "2.0", "headers": "2.0", "tiny": "3.2"}


@pytest.mark.parametrize("tools", [("picky", "easy"), ("easy", "picky")])
def test_what_one_environment_is_bound_to_others_take_too_in_whichever_order(
    world: SmallWorld, tools: Sequence[str]
) -> None:
    alone, said = locked(world, ["easy"])
    assert versions(alone, "easy") == {"easy": "1.0", **NEW}
    assert "takes" not in said
    path(world).unlink()
    lock, said = locked(world, tools)
    assert versions(lock, "picky") == {"picky": "1.0", **OLD}
    # what is small stays at its newest, but for what is numbered as something large is
    assert versions(lock, "easy") == {"easy": "1.0", "library": "1.0", "headers": "1.0", "tiny": "3.2"}
    assert "env-easy takes what env-picky has: headers 1.0, library 1.0" in said
    before = path(world).read_bytes()
    again, said = locked(world, tools, "--upgrade")
    assert again == lock
    assert path(world).read_bytes() == before
    assert "nothing moved" in said


def test_no_tool_gets_older_by_what_another_environment_has(world: SmallWorld) -> None:
    lock, said = locked(world, ["picky", "choosy", "namer"])
    assert versions(lock, "choosy") == {"choosy": "2.0", "library": "2.0"}
    assert versions(lock, "namer") == {"library": "2.0"}
    path(world).unlink()
    lock, said = locked(world, ["picky", "choosy"])
    assert versions(lock, "choosy") == {"choosy": "2.0", "library": "2.0"}
    assert "env-choosy cannot take what env-picky has: library 1.0: " in said
    assert "choosy>=2.0 depends on library>=2 and library==1.0" in said


def test_nothing_gets_older_where_the_image_has_the_newer_one_anyway(world: SmallWorld) -> None:
    lock, said = locked(world, ["picky", "easy", "namer"])
    assert versions(lock, "easy") == {"easy": "1.0", **NEW}
    assert "takes" not in said
    path(world).unlink()
    lock, _ = locked(world, ["picky", "choosy", "easy"])
    assert versions(lock, "easy") == {"easy": "1.0", **NEW}


def test_what_is_locked_moves_only_when_all_is_looked_at_again(world: SmallWorld) -> None:
    locked(world, ["easy"])
    lock, _ = locked(world, ["easy", "picky"])
    assert versions(lock, "easy") == {"easy": "1.0", **NEW}
    lock, _ = locked(world, ["easy", "picky"], "--upgrade")
    assert versions(lock, "easy")["library"] == "1.0"
    # what comes in takes what is there
    add(world, "late", "1.0", "library")
    world.write("tools/late.yaml", tool("late", {"pypi": ["late"]}, env="late"))
    lock, said = locked(world, ["easy", "picky", "late"])
    assert versions(lock, "late") == {"late": "1.0", "library": "1.0"}
    assert "env-late takes what env-easy has: library 1.0" in said


def test_what_is_held_stays(world: SmallWorld) -> None:
    locked(world, ["easy"])
    held = Hold(
        section="env-easy", package="library", version="2.0", broken="1.0", check="t: c", reason="it broke a check",
        owner="nightly", expires=datetime.date.today() + datetime.timedelta(days=30),
    )  # fmt: skip
    locks.write_holds(path(world).with_name("v.holds.yaml"), Holds(holds=(held,)))
    lock, _ = locked(world, ["easy", "picky"], "--upgrade")
    assert versions(lock, "easy") == {"easy": "1.0", **NEW}
    assert versions(lock, "picky") == {"picky": "1.0", **OLD}
