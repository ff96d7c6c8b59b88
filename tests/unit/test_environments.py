"""Environments that share packages: which comes first, and what none of them gives up for another one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from dsvm.ecosystems import Request
from dsvm.lock.sharing import WORTH, Member, in_order, share
from dsvm.model import Format, Pin, Section

LIBRARIES = {"a": WORTH, "b": 3 * WORTH, "c": WORTH - 1}
Versions = Mapping[str, str]


def section(env: str, versions: Versions, *formats: Format) -> Section:
    pins = [
        Pin(
            name=name,
            version=version,
            file=f"{name}-{version}-py3-none-any.whl",
            size=LIBRARIES.get(name, 1),
            sha256=hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
            registry="pypi",
        )
        for name, version in sorted(versions.items())
    ]
    return Section(
        id=f"env-{env}", ecosystem="pypi", request={}, input="0" * 64, epoch=1, pins=tuple(pins), formats=formats
    )


def member(env: str, versions: Versions, *formats: Format, named: tuple[str, ...] = (), moves: bool = True) -> Member:
    return Member(section(env, versions, *formats), Request(f"env-{env}", env, (named,)), {}, moves)


def willing(one: Member, prefer: Versions, exact: Versions) -> Section:
    """A solution for packages that go with anything: preferences count, and what must be."""
    alone = {pin.name: pin.version for pin in one.section.pins}
    versions = {name: exact.get(name, prefer.get(name, version)) for name, version in alone.items()}
    return section(one.request.env, versions, *one.section.formats)


def names(*members: Member) -> list[str]:
    return [one.request.env for one in in_order(members)]


def test_who_is_behind_by_most_bytes_comes_first_and_what_does_not_move_before_all() -> None:
    new = member("new", {"a": "2", "b": "2"})
    little, much = member("little", {"a": "1", "b": "2"}), member("much", {"a": "2", "b": "1"})
    assert names(new, little, much) == ["much", "little", "new"]
    kept = member("still", {"a": "2", "b": "2"}, moves=False)
    assert names(new, little, much, kept) == ["still", "much", "little", "new"]
    # what is too small to share counts for nothing
    assert names(member("x", {"c": "2"}), member("y", {"c": "1"})) == ["x", "y"]
    assert names(member("x", {"a": "10"}), member("y", {"a": "9"})) == ["y", "x"]


def test_what_only_machines_have_changes_no_container() -> None:
    disk = member("disk", {"a": "1"}, "qcow2")
    assert share([member("x", {"a": "2"}), disk], willing) == {}
    found = share([member("x", {"a": "1"}), member("disk", {"a": "2"}, "qcow2")], willing)
    assert found == {"env-disk": section("disk", {"a": "1"}, "qcow2")}


def test_an_environment_that_is_kept_is_followed_and_does_not_move() -> None:
    kept, new = member("z", {"a": "1"}, moves=False), member("x", {"a": "2"})
    assert share([new, kept], willing) == {"env-x": section("x", {"a": "1"})}
    assert share([member("x", {"a": "1"}), member("z", {"a": "2"}, moves=False)], willing) == {}


# what each environment has alone, what is asked for there by name, and whether its solver follows at all
SOME = st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), min_size=1)
DRAWN = st.lists(st.tuples(SOME, st.sets(st.sampled_from("abc")), st.booleans()), min_size=1, max_size=4)
Drawn = list[tuple[dict[str, str], set[str], bool]]


def made(drawn: Drawn) -> list[Member]:
    return [member(f"e{number}", versions, named=(*named,)) for number, (versions, named, _) in enumerate(drawn)]


@given(DRAWN)
def test_nothing_that_is_asked_for_by_name_moves_and_nothing_at_all_that_makes_no_image_smaller(drawn: Drawn) -> None:
    free = {f"e{number}" for number, (*_, follows) in enumerate(drawn) if follows}

    def some_follow(one: Member, prefer: Versions, exact: Versions) -> Section:
        return willing(one, prefer, exact) if one.request.env in free else one.section

    def size(sections: Iterable[Section]) -> int:
        return sum({pin.sha256: pin.size for section in sections for pin in section.pins}.values())

    members = made(drawn)
    alone = {one.section.id: one.section for one in members}
    found = share(members, some_follow)
    for one in members:
        for pin, moved in zip(one.section.pins, found.get(one.section.id, one.section).pins, strict=True):
            assert moved.version <= pin.version
            assert moved.version == pin.version or pin.name not in one.named
    for name in found:
        assert size((alone | found).values()) < size((alone | found | {name: alone[name]}).values())
    # in whichever order manifests have them
    assert share(members[::-1], some_follow) == found


@given(DRAWN)
def test_no_solver_gives_an_older_version_of_what_is_asked_for_by_name(drawn: Drawn) -> None:
    def careless(one: Member, prefer: Versions, exact: Versions) -> Section:
        return section(one.request.env, {pin.name: exact.get(pin.name, "1") for pin in one.section.pins})

    members = made(drawn)
    found = share(members, careless)
    for one in members:
        now = found.get(one.section.id, one.section)
        for name in one.named:
            assert now.pin(name) == one.section.pin(name)
