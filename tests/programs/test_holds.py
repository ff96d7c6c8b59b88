"""Holds, and locks between two locks: by real solving, from an index in a folder."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from small_world import SmallWorld, tool
from test_pypi import context, index, resolve, wheel

from dsvm import catalog as catalogs
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.ecosystems import Context
from dsvm.lock import Move, Wishes
from dsvm.model import WHOLE, Hold, Holds, Index, InputError, Lock, LockError, Pin

FAR = datetime.date.today() + datetime.timedelta(days=30)
PANDAS = Hold(
    section="env-base", package="two", version="1.0", broken="2.0", check="t: c", reason="it broke a check",
    owner="nightly", expires=FAR,
)  # fmt: skip


def some_index(folder: Path) -> str:
    """Packages in two versions each; version 2.0 of `three` needs that of `four`."""
    return index(
        folder,
        *(wheel(name, version) for name in ("one", "two", "four") for version in ("1.0", "2.0")),
        wheel("three", "1.0"),
        wheel("three", "2.0", requires=("four >= 2",)),
        wheel("top", "1.0", requires=("one", "two", "three", "four")),
    )


def versions(pins: Mapping[str, Pin]) -> dict[str, str]:
    return {name: pin.version for name, pin in pins.items()}


def test_what_is_held_stays_and_the_rest_goes_on(tmp_path: Path) -> None:
    here = context(tmp_path, some_index(tmp_path / "index"))
    found = versions(resolve(here, "top", exact={"two": "1.0", "not-there": "3"}))
    assert found == {"top": "1.0", "one": "2.0", "two": "1.0", "three": "2.0", "four": "2.0"}


def test_what_is_preferred_stays_unless_something_needs_it_to_move(tmp_path: Path) -> None:
    here = context(tmp_path, some_index(tmp_path / "index"))
    stay = {"one": "1.0", "two": "1.0", "four": "1.0"}
    assert versions(resolve(here, "top", prefer={**stay, "three": "1.0"})) == {"top": "1.0", "three": "1.0", **stay}
    found = versions(resolve(here, "top", prefer=stay, exact={"three": "2.0"}))
    assert found == {"top": "1.0", "three": "2.0", **stay, "four": "2.0"}


def test_what_is_bound_to_an_index_stays_too(tmp_path: Path) -> None:
    url = some_index(tmp_path / "index")
    empty = index(tmp_path / "empty", wheel("nothing", "1"))
    special = {"special": Index(index="special", url=url, packages=("one", "two", "three", "four", "top"))}
    here = replace(context(tmp_path, empty), indexes=special)
    prefer = dict.fromkeys(("one", "two", "three", "four"), "1.0")
    found = versions(resolve(here, *prefer, "top", prefer=prefer, exact={"one": "2.0"}, indexes=("special",)))
    assert found == {"top": "1.0", **prefer, "one": "2.0"}


def test_a_version_that_is_gone_cannot_be_held(tmp_path: Path) -> None:
    here = context(tmp_path, some_index(tmp_path / "index"))
    with pytest.raises(LockError, match="no set of packages satisfies"):
        resolve(here, "top", exact={"two": "1.5"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """A variant of `top`, locked with old versions; the newer ones are there now."""
    world = SmallWorld(tmp_path_factory.mktemp("holds"))
    world.set_up()
    world.write("tools/top.yaml", tool("top", {"pypi": ["top"]}, env="base"))
    world.write("variants/v.yaml", {"variant": "v", "base": "debian-12", "accelerator": "cpu", "tools": ["top"]})
    names = ("one", "two", "three", "four")
    for name in names:
        world.add_wheel(name, "1.0")
    world.add_wheel("top", "1.0", requires=names)
    done = world.invoke("lock", "--variant", "v")
    assert done.returncode == 0, done.stderr
    for name in names:
        world.add_wheel(name, "2.0", requires=("four >= 2",) if name == "three" else ())
    return world


def lock_of(world: SmallWorld) -> Lock:
    return locks.read(world.mine / "locks" / "v.json")


def locked(lock: Lock) -> dict[str, str]:
    section = lock.section("env-base")
    assert section is not None
    return {pin.name: pin.version for pin in section.pins if pin.name != "top"}


@pytest.fixture
def both(world: SmallWorld) -> tuple[Lock, Lock]:
    """The old lock, which stays in place, and the one of today."""
    old = lock_of(world)
    path = world.mine / "locks" / "v.json"
    kept = path.read_bytes()
    try:
        assert world.invoke("lock", "--variant", "v", "--upgrade").returncode == 0
        return old, lock_of(world)
    finally:
        path.write_bytes(kept)


def here(world: SmallWorld, tmp_path: Path) -> tuple[Catalog, Context]:
    catalog = catalogs.load([world.mine])
    made = context(tmp_path, index(tmp_path / "none", wheel("nothing", "1")), find_links=world.wheels)
    return catalog, replace(made, base=catalog.bases["debian-12"])


def test_a_lock_heeds_holds_until_they_expire(world: SmallWorld, both: tuple[Lock, Lock]) -> None:
    path = world.mine / "locks" / "v.json"
    kept = path.read_bytes()
    holds = world.mine / "locks" / "v.holds.yaml"
    try:
        locks.write_holds(holds, Holds(holds=(PANDAS,)))
        done = world.invoke("lock", "--variant", "v", "--upgrade")
        assert f"held: two 1.0 of env-base, until {FAR}: it broke a check" in done.stdout
        assert locked(lock_of(world)) == {"one": "2.0", "two": "1.0", "three": "2.0", "four": "2.0"}
        past = PANDAS.model_copy(update={"expires": datetime.date(2026, 1, 1)})
        locks.write_holds(holds, Holds(holds=(past,)))
        done = world.invoke("lock", "--variant", "v", "--upgrade")
        assert "held" not in done.stdout
        assert locked(lock_of(world)) == dict.fromkeys(("one", "two", "three", "four"), "2.0")
        holds.write_text("holds:\n- {section: env-base, package: two, expires: soon}\n")
        done = world.invoke("lock", "--variant", "v", "--upgrade")
        assert done.returncode == 2
        assert f"{holds}:2: " in done.stderr and "Mend it, or remove the file" in done.stderr
    finally:
        holds.unlink(missing_ok=True)
        path.write_bytes(kept)


def test_a_whole_section_is_held_with_what_holds_no_single_package(world: SmallWorld, both: tuple[Lock, Lock]) -> None:
    old, new = both
    wishes = Wishes.of(Holds(holds=(PANDAS, PANDAS.model_copy(update={"section": "system", "package": "tini"}))))
    assert {section.id: wishes.keeps(section) for section in old.sections if section.id in ("system", "env-base")} == {
        "system": True,  # apt cannot be asked for one version
        "env-base": False,
    }
    every = Wishes.of(Holds(holds=(Hold(**{**dict(PANDAS), "package": WHOLE, "version": None}),)))
    assert [section.id for section in new.sections if every.keeps(section)] == ["env-base"]


def test_moves_are_packages_that_differ(both: tuple[Lock, Lock]) -> None:
    old, new = both
    found = locks.moves(old, new, base_ecosystem="apt")
    assert [move.name for move in found] == [
        f"{name} 1.0 -> 2.0 of env-base" for name in ("four", "one", "three", "two")
    ]
    assert locks.moves(old, old, base_ecosystem="apt") == []


def test_system_packages_move_with_their_base(both: tuple[Lock, Lock]) -> None:
    old, new = both

    def other(lock: Lock, *names: str) -> Lock:
        moved = [
            one.model_copy(update={"pins": one.pins[:-1] if one.id in names else one.pins}) for one in lock.sections
        ]
        return lock.model_copy(update={"sections": tuple(moved)})

    apart = locks.moves(old, other(old, "system"), base_ecosystem="apt")
    assert apart == [Move("system", WHOLE)]
    together = locks.moves(old, other(new, "base", "system"), base_ecosystem="apt")
    assert together[0] == Move("base", WHOLE)
    assert {one.section for one in together} == {"base", "env-base"}


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ((), {"one": "1.0", "two": "1.0", "three": "1.0", "four": "1.0"}),
        (("two",), {"one": "1.0", "two": "2.0", "three": "1.0", "four": "1.0"}),
        (("three",), {"one": "1.0", "two": "1.0", "three": "2.0", "four": "2.0"}),  # four moves with it
        (("one", "two", "three", "four"), {"one": "2.0", "two": "2.0", "three": "2.0", "four": "2.0"}),
    ],
)
def test_a_lock_between_two_has_what_was_taken(
    taken: tuple[str, ...], expected: dict[str, str], world: SmallWorld, both: tuple[Lock, Lock], tmp_path: Path
) -> None:
    old, new = both
    catalog, context = here(world, tmp_path)
    wanted = [move for move in locks.moves(old, new, base_ecosystem="apt") if move.package in taken]
    between = locks.mix(catalog, old, new, wanted, context)
    assert locked(between) == expected
    assert locks.check(catalog, between) == between, "it fits the manifests, and may be built"
    assert (between == old, between == new) == (not taken, len(taken) == 4)


def test_holds_are_written_as_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    path = tmp_path / "locks" / "cpu-debian.holds.yaml"
    holds = Holds(holds=(PANDAS,))
    locks.write_holds(path, holds)
    catalog = replace(catalogs.load(), folders=(catalogs.MANIFESTS, tmp_path))
    assert locks.holds_path(catalog, "cpu-debian") == path
    assert locks.find_holds(catalog, "cpu-debian") == holds
    assert catalogs.load([tmp_path]).folders[-1] == tmp_path, "a folder with holds is a catalog"
    locks.write_holds(path, Holds())
    assert not path.exists()
    assert locks.find_holds(catalog, "cpu-debian") == Holds()
    path.write_text("holds: [1, 2]\n")
    with pytest.raises(InputError, match="Mend it"):
        locks.find_holds(catalog, "cpu-debian")


def test_what_only_installs_moves_one_by_one_too(tmp_path: Path) -> None:
    """A section that is no environment has no name of one, else the lock between would be refused."""
    world = SmallWorld(tmp_path / "world")
    world.folder.mkdir()
    world.set_up()
    world.write("tools/top.yaml", tool("top", {"pypi": ["top"]}, env="base"))
    world.write("variants/v.yaml", {"variant": "v", "base": "debian-12", "accelerator": "cpu", "tools": ["top"]})
    world.add_wheel("top", "1.0")
    world.add_wheel("uv", "0.13.9", requires=("helper",))
    world.add_wheel("helper", "1.0")
    assert world.invoke("lock", "--variant", "v").returncode == 0
    old = lock_of(world)
    world.add_wheel("uv", "0.13.10", requires=("helper",))
    world.add_wheel("helper", "2.0")
    assert world.invoke("lock", "--variant", "v", "--upgrade").returncode == 0
    catalog, context = here(world, tmp_path)
    new = lock_of(world)
    helper, uv = locks.moves(old, new, base_ecosystem="apt")
    assert (helper.package, uv.package, uv.section) == ("helper", "uv", "builder-pypi-pypi")
    between = locks.mix(catalog, old, new, [uv], context)
    section = between.section(uv.section)
    assert section is not None and {pin.name: pin.version for pin in section.pins} == {"uv": "0.13.10", "helper": "1.0"}
    assert locks.check(catalog, between) == between
