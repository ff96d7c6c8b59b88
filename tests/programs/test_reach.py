"""Tools that were out of reach when they were locked: a mirror on loopback appears, and they come in, alone."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping

import apt_archive as archives
import pytest
from server import Resource, Server
from small_world import BASE, SmallWorld, tool

from dsvm import catalog as catalogs
from dsvm import lock as locks
from dsvm.model import LeftOut, Lock

OUT = "not within reach when this was locked"


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    made = SmallWorld(tmp_path_factory.mktemp("reach"))
    made.set_up()
    for name, requires in (("here", ()), ("near", ()), ("thing", ())):
        made.add_wheel(name, "1.0", requires)
    return made


@pytest.fixture
def world(set_up: SmallWorld, server: Server) -> SmallWorld:
    """A variant of `here`, which is there, `away` on a mirror that is not, and two that need `away`."""
    for path in (set_up.mine / "locks").glob("*"):
        path.unlink()
    write(set_up, tool("here", {"pypi": ["here"]}, env="base"))
    write(set_up, tool("away", download(server, "away")))
    write(set_up, tool("beside", {"pypi": ["near"]}, env="beside", requires=["away"]))
    write(set_up, tool("further", {"pypi": ["near"]}, env="further", requires=["beside"]))
    variant(set_up, "here", "away", "beside", "further")
    return set_up


def write(world: SmallWorld, manifest: Mapping[str, object]) -> None:
    world.write(f"tools/{manifest['tool']}.yaml", manifest)


def variant(world: SmallWorld, *tools: str) -> None:
    tools = ("tini", *tools)
    world.write("variants/far.yaml", {"variant": "far", "base": "debian-12", "accelerator": "cpu", "tools": [*tools]})


def content(server: Server) -> bytes:
    """Another one in each test: what the store has is never out of reach."""
    return server.url.encode()


def download(server: Server, name: str) -> dict[str, object]:
    sha256 = hashlib.sha256(content(server)).hexdigest()
    file = {"url": f"{server.url}/{name}", "version": "1.0", "to": f"/opt/{name}/{name}", "sha256": sha256}
    return {"url": [{**file, "unpack": False}]}


def lock(world: SmallWorld, *options: str) -> tuple[str, Lock]:
    return said_by(world, "lock", *options), read(world)


def said_by(world: SmallWorld, command: str, *options: str, code: int = 0) -> str:
    nowhere = {"DOCKER_HOST": "unix:///nowhere", "DSVM_ENGINE_DIR": "/nowhere"}
    done = world.invoke(command, "--variant", "far", *options, env=nowhere)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(world: SmallWorld) -> Lock:
    found = locks.find(catalogs.load([world.mine]), "far")
    assert found is not None
    return found


def out(lock: Lock) -> dict[str, tuple[str, str]]:
    return {left.tool: (left.kind, left.reason) for left in lock.left_out}


def test_what_is_out_of_reach_comes_in_with_what_needs_it_and_nothing_else_moves(
    world: SmallWorld, server: Server
) -> None:
    _, before = lock(world, "--leave-out-unreachable")
    assert out(before) == {
        "away": ("unreachable", OUT),
        "beside": ("unreachable", "it needs away, which is left out"),
        "further": ("unreachable", "it needs beside, which is left out"),
    }
    said, again = lock(world)
    assert again == before
    assert "lock: far: still out of reach: away, beside, further\n" in said
    assert "  away: " in said and "HTTP 404" in said and "  beside: it needs away\n" in said
    world.add_wheel("here", "2.0")  # newer, and nobody asked for it
    server.add("/away", Resource(content(server)))
    said = said_by(world, "build", code=4)  # there is no engine
    assert "lock: far: came in: away, beside, further\n" in said
    after = read(world)
    assert out(after) == {}
    assert {one.id for one in after.sections} - {one.id for one in before.sections} == {
        "away-url", "env-beside", "env-further"
    }  # fmt: skip
    assert [after.section(one.id) for one in before.sections] == [*before.sections]
    assert [choice for choice in after.choices if choice in before.choices] == [*before.choices]
    said, again = lock(world)
    assert again == after and "far.json is up to date" in said and "reach" not in said


def test_in_an_environment_with_others_these_stay_at_their_versions(world: SmallWorld, server: Server) -> None:
    write(world, tool("shares", {"pypi": ["near"]}, env="base", requires=["away"]))
    variant(world, "here", "away", "shares")
    world.add_wheel("here", "3.0")
    _, before = lock(world, "--leave-out-unreachable")
    world.add_wheel("here", "3.1")
    server.add("/away", Resource(content(server)))
    _, after = lock(world)
    was, now = ({pin.name: pin.version for pin in one.section("env-base").pins} for one in (before, after))  # type: ignore[union-attr]
    assert was == {"here": "3.0"} and now == {"here": "3.0", "near": "1.0"}
    assert lock(world, "--upgrade")[1].section("env-base").pin("here").version == "3.1"  # type: ignore[union-attr]


def test_who_forbids_to_resolve_is_not_asked(world: SmallWorld, server: Server) -> None:
    lock(world, "--leave-out-unreachable")
    server.add("/away", Resource(content(server)))
    server.requests.clear()
    for option in ("--locked", "--offline"):
        said_by(world, "build", option, code=4)
    said_by(world, "fetch", code=4)
    assert server.requests == [] and len(read(world).left_out) == 3
    said_by(world, "build", code=4)
    assert server.requests and read(world).left_out == ()


def test_a_tool_that_is_held_stays_out_with_what_needs_it(world: SmallWorld, server: Server) -> None:
    lock(world, "--leave-out-unreachable")
    server.add("/away", Resource(content(server)))
    hold = {
        "section": "tools", "package": "beside", "check": "beside: x", "reason": "it broke what it checks",
        "owner": "me", "expires": datetime.date.today() + datetime.timedelta(days=9),
    }  # fmt: skip
    world.write("locks/far.holds.yaml", {"holds": [hold]})
    said, after = lock(world)
    assert {*out(after)} == {"beside", "further"} and "came in: away\n" in said
    assert "held: the tool beside" in said and "out of reach" not in said
    (world.mine / "locks/far.holds.yaml").unlink()
    assert "came in: beside, further\n" in lock(world)[0]


def test_what_was_left_out_on_request_stays_out_and_comes_back_with_what_needs_it(
    world: SmallWorld, server: Server
) -> None:
    server.add("/away", Resource(content(server)))
    said, found = lock(world, "--leave-out", "away")
    expected = {
        "away": ("requested", "left out on request"),
        "beside": ("unreachable", "it needs away, which is left out"),
        "further": ("unreachable", "it needs beside, which is left out"),
    }
    assert out(found) == expected
    assert "still out of reach" not in said, "nothing is"
    assert out(lock(world)[1]) == expected
    said, found = lock(world, "--put-back", "away")
    assert found.left_out == () and "came in: beside, further" in said
    world.write("variants/far.yaml", {**read_variant(world), "tools": ["tini", "here", "away"]})
    assert out(lock(world, "--leave-out", "away")[1]) == {"away": ("requested", "left out on request")}


def read_variant(world: SmallWorld) -> dict[str, object]:
    return {"variant": "far", "base": "debian-12", "accelerator": "cpu"}


def test_one_that_cannot_come_in_stops_neither_the_others_nor_the_build(world: SmallWorld, server: Server) -> None:
    write(world, tool("cross", {"pypi": ["thing", "here >= 9"]}, env="cross", requires=["away"]))
    write(world, tool("lone", download(server, "lone")))
    variant(world, "here", "away", "beside", "cross", "lone")
    _, before = lock(world, "--leave-out-unreachable")
    # `cross` will not be had: who only asks for its own packages is told so at once
    server.add("/lone", Resource(content(server)))
    said = said_by(world, "build", code=4)
    assert "came in: lone; still out of reach: away, beside, cross" in said
    server.add("/away", Resource(content(server)))
    said, after = lock(world)
    assert {*out(after)} == {"cross"} and "came in: away, beside; still out of reach: cross" in said
    assert "no set of packages satisfies" in said
    assert after.section("system") == before.section("system")


def test_what_answers_and_is_another_file_stays_out_with_a_warning(world: SmallWorld, server: Server) -> None:
    _, before = lock(world, "--leave-out-unreachable")
    server.add("/away", Resource(b"something else"))
    said = said_by(world, "build", code=4)
    assert read(world) == before
    assert "away, beside, further: within reach again, and cannot come in: " in said
    assert "still out of reach: away, beside, further" in said


def test_a_wrong_password_is_an_answer_of_its_own_and_stops_no_build(world: SmallWorld, server: Server) -> None:
    lock(world, "--leave-out-unreachable")
    server.add("/away", Resource(content(server), statuses=[401] * 9))
    said, _ = lock(world)
    assert "still out of reach: away" in said and "HTTP 401" in said


def test_where_the_archive_has_moved_on_only_what_needs_it_waits(world: SmallWorld, server: Server) -> None:
    write(world, tool("packed", {"apt": ["later"]}))
    variant(world, "here", "away", "packed")
    _, before = lock(world, "--leave-out-unreachable")
    assert {*out(before)} == {"away", "packed"}
    made = world.folder / "newer"
    newer = archives.deb(made, "base-files", "2.0", Essential="yes")
    old = world.folder / "debs"
    stay = [old / f"{name}_1.0_amd64.deb" for name in BASE]
    archives.publish(world.folder / "debian", [newer, *stay, archives.deb(made, "later")], world.key, suite="bookworm")
    (world.folder / "debian/pool/base-files_1.0_amd64.deb").unlink()
    try:
        server.add("/away", Resource(content(server)))
        said = said_by(world, "build", code=4)
        after = read(world)
        assert {*out(after)} == {"packed"} and "came in: away; still out of reach: packed" in said
        assert "system: the archive has moved on from the base that is locked" in said
        assert "invoke lock --variant far --upgrade" in said
        assert after.section("base") == before.section("base") and after.section("system") == before.section("system")
        said, after = lock(world, "--upgrade")
        assert out(after) == {} and "base-files 1.0 -> 2.0" in said
    finally:
        archives.publish(
            world.folder / "debian", [old / "base-files_1.0_amd64.deb", *stay], world.key, suite="bookworm"
        )


def test_what_comes_in_has_what_it_needs_from_its_first_source(world: SmallWorld, server: Server) -> None:
    write(world, tool("runtime", download(server, "runtime"), {"pypi": ["thing"]}))
    write(world, tool("program", download(server, "program"), requires=["runtime"]))
    variant(world, "here", "runtime", "program")
    _, before = lock(world, "--leave-out-unreachable")
    assert {*out(before)} == {"program"} and choice(before, "runtime") == (1, ("url",))
    server.add("/program", Resource(content(server)))
    server.add("/runtime", Resource(content(server)))
    _, after = lock(world)
    assert out(after) == {} and choice(after, "runtime") == (0, ())
    # and by itself it stays what it was
    _, before = lock(world, "--leave-out", "program")
    assert choice(before, "runtime") == (0, ())


def choice(lock: Lock, tool: str) -> tuple[int, tuple[str, ...]]:
    (found,) = (one for one in lock.choices if one.tool == tool)
    return found.source, found.passed_over


def test_a_lock_of_before_there_were_kinds_is_read(world: SmallWorld, server: Server) -> None:
    lock(world, "--leave-out-unreachable")
    path = world.mine / "locks/far.json"
    data = json.loads(path.read_text())
    data["left_out"] = [{"tool": one["tool"], "reason": OUT} for one in data["left_out"]]
    path.write_text(json.dumps(data))
    server.add("/away", Resource(content(server)))
    assert read(world).left_out[0] == LeftOut(tool="away", reason=OUT, kind="unreachable")
    assert out(lock(world)[1]) == {}
