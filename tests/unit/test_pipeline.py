"""The road's own rules: when a lock is made, what offline means, what is said when mirrors have moved on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from server import Resource, Server

from dsvm import cleaning, pipeline
from dsvm import lock as locks
from dsvm.errors import GoneError, InputError, LockError, StoreError
from dsvm.machine import Machine
from dsvm.model import Lock, Retired
from dsvm.pipeline import Workshop
from dsvm.store import Store


@pytest.fixture
def shop(tmp_path: Path, server: Server) -> Workshop:
    """A workshop with the small catalog, whose registries are the test's own server."""
    (tmp_path / "mine").mkdir()
    said: list[str] = []
    shop = Workshop(say=said.append)
    catalog = tiny.catalog()
    shop.catalog = replace(catalog, folders=(*catalog.folders, tmp_path / "mine"))
    sources = dict.fromkeys(("debian", "pypi", "special"), (server.url,))
    shop.machine = Machine(environ={"HOME": str(tmp_path)}, sources=sources, etc=tmp_path / "etc")
    shop.store = Store(tmp_path / "store")
    return shop


def lock_of(shop: Workshop, lock: Lock) -> Path:
    path = locks.lock_path(shop.catalog, lock.variant)
    locks.write(path, lock)
    return path


def only(lock: Lock, *sections: str) -> Lock:
    return lock.model_copy(update={"sections": tuple(one for one in lock.sections if one.id in sections)})


def test_a_lock_that_fits_is_used_as_it_is(shop: Workshop) -> None:
    lock_of(shop, tiny.lock())
    assert pipeline.need_lock(shop, "tiny", locked=True) == tiny.lock()
    assert pipeline.lock(shop, "tiny") == tiny.lock(), "and locking again asks nobody"


@pytest.mark.parametrize(("locked", "offline", "option"), [(True, False, "--locked"), (False, True, "--offline")])
def test_a_missing_or_stale_lock_is_not_made_where_that_is_forbidden(
    shop: Workshop, locked: bool, offline: bool, option: str
) -> None:
    shop.offline = offline
    with pytest.raises(LockError, match=f"does not exist, and {option}"):
        pipeline.need_lock(shop, "tiny", locked=locked)
    lock_of(shop, only(tiny.lock(), "base", "system"))
    with pytest.raises(LockError, match=rf"does not fit the manifests: .*env-base.*and {option}") as caught:
        pipeline.need_lock(shop, "tiny", locked=locked)
    assert "invoke lock" in caught.value.hint


def test_offline_names_what_the_store_lacks(shop: Workshop) -> None:
    shop.offline = True
    with pytest.raises(StoreError, match=r"--offline, but the store lacks .*\.deb.* and \d+ more") as caught:
        pipeline.fetch(shop, tiny.lock())
    assert "invoke fetch --variant tiny" in caught.value.hint


def test_what_mirrors_have_dropped_is_named_with_the_way_out(shop: Workshop) -> None:
    lock = only(tiny.lock(), "base", "env-base")
    with pytest.raises(GoneError) as caught:
        pipeline.fetch_fresh(shop, lock, update_stale=False)
    assert set(caught.value.gone) == {pin.filename for section in lock.sections for pin in section.pins}
    assert "libc6_2.36-9+deb12u14_amd64.deb" in caught.value.message
    assert "invoke lock --variant tiny --only apt && invoke lock --variant tiny --only pypi" in caught.value.hint
    assert caught.value.exit_code == 3


def test_what_is_fetched_is_in_the_store_and_not_fetched_again(shop: Workshop, server: Server, tmp_path: Path) -> None:
    lock = with_real_content(only(tiny.lock(), "base"), server)
    assert pipeline.fetch(shop, lock).fetched == 2
    asked = len(server.requests)
    assert pipeline.fetch(shop, lock).fetched == 0
    assert len(server.requests) == asked


def with_real_content(lock: Lock, server: Server) -> Lock:
    """The lock with hashes of what the server really serves."""
    import hashlib

    sections = []
    for section in lock.sections:
        pins = []
        for pin in section.pins:
            data = pin.name.encode()
            server.add(f"/{pin.file}", Resource(data))
            pins.append(pin.model_copy(update={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}))
        sections.append(section.model_copy(update={"pins": tuple(pins)}))
    return lock.model_copy(update={"sections": tuple(sections)})


def test_stale_packages_are_resolved_again_when_that_is_asked_for(
    shop: Workshop, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = with_real_content(only(tiny.lock(), "base"), server)
    gone = tuple(pin.model_copy(update={"file": f"pool/old/{pin.filename}"}) for pin in tiny.lock().sections[0].pins)
    stale = fresh.model_copy(update={"sections": (fresh.sections[0].model_copy(update={"pins": gone}),)})
    asked: list[tuple[str, object]] = []

    def again(shop: Workshop, variant: str, *, only: str | None = None) -> Lock:
        asked.append((variant, only))
        return fresh

    monkeypatch.setattr(pipeline, "lock", again)
    monkeypatch.setattr("dsvm.lock.compare", lambda *args: None)  # what is served here are no packages
    assert pipeline.fetch_fresh(shop, stale, update_stale=True) == fresh
    assert asked == [("tiny", "apt")]
    monkeypatch.setattr(pipeline, "lock", lambda *args, **more: stale)
    with pytest.raises(GoneError):  # resolving again did not help: said, not tried for ever
        pipeline.fetch_fresh(shop, stale, update_stale=True)


@pytest.mark.parametrize("option", ["leave_out", "put_back", "only"])
def test_whoever_names_a_retired_tool_is_told_what_takes_its_place(shop: Workshop, option: str) -> None:
    row = Retired(tool="slates", since="2019", why="broken", successors=("notebooks",), source="a book")
    shop.catalog = replace(shop.catalog, retired={"slates": row})
    lock_of(shop, tiny.lock())
    with pytest.raises(InputError, match=r"'slates' is retired since 2019: broken \(a book\); in its place: notebooks"):
        if option == "only":
            pipeline.verify(shop, "tiny", only=["slates"])
        else:
            pipeline.lock(shop, "tiny", **{option: ["slates"]})  # type: ignore[arg-type]


def test_a_base_whose_ecosystem_is_not_here_loads_and_cannot_be_locked(shop: Workshop) -> None:
    base = shop.catalog.bases["tiny-12"].model_copy(update={"ecosystem": "zypper"})
    shop.catalog = replace(shop.catalog, bases={"tiny-12": base})
    with pytest.raises(LockError, match="base 'tiny-12' takes its packages from the ecosystem 'zypper'"):
        pipeline.lock(shop, "tiny")


def test_what_was_not_left_out_cannot_be_put_back(shop: Workshop) -> None:
    lock_of(shop, tiny.lock())
    with pytest.raises(InputError, match="'arrays' is not left out of tiny"):
        pipeline.lock(shop, "tiny", put_back=["arrays"])


def test_cleaning_keeps_what_a_lock_names(shop: Workshop, server: Server, monkeypatch: pytest.MonkeyPatch,
                                          tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.setattr(cleaning, "ROOT", tmp_path)
    lock = with_real_content(only(tiny.lock(), "base"), server)
    pipeline.fetch(shop, lock)
    lock_of(shop, lock)
    other = tmp_path / "other"
    other.write_text("of no lock")
    sha256, _ = shop.store.add(other)
    assert cleaning.clean(shop)[0] == 1
    assert not shop.store.has(sha256)
    assert all(shop.store.has(pin.sha256, pin.size) for pin in lock.sections[0].pins)
