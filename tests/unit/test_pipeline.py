"""The pipeline's own rules: when a lock is made, what offline means, what is said when mirrors have moved on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from server import Resource, Server

from dsvm import lock as locks
from dsvm import pipeline
from dsvm.host import Host
from dsvm.model import GoneError, InputError, Lock, LockError, Retired, StoreError
from dsvm.session import Session, fetch_fresh, need_lock
from dsvm.session.fetching import fetch
from dsvm.store import Store


@pytest.fixture
def session(tmp_path: Path, server: Server) -> Session:
    """A session with the small catalog, whose registries are the test's own server."""
    (tmp_path / "mine").mkdir()
    said: list[str] = []
    session = Session(said.append, said.append)
    catalog = tiny.catalog()
    session.catalog = replace(catalog, folders=(*catalog.folders, tmp_path / "mine"))
    sources = dict.fromkeys(("debian", "pypi", "special"), (server.url,))
    session.host = Host(environ={"HOME": str(tmp_path)}, sources=sources, etc=tmp_path / "etc")
    session.store = Store(tmp_path / "store")
    return session


def lock_of(session: Session, lock: Lock) -> Path:
    path = locks.lock_path(session.catalog, lock.variant)
    locks.write(path, lock)
    return path


def only(lock: Lock, *sections: str) -> Lock:
    return lock.model_copy(update={"sections": tuple(one for one in lock.sections if one.id in sections)})


def test_a_lock_that_fits_is_used_as_it_is(session: Session) -> None:
    lock_of(session, tiny.lock())
    assert need_lock(session, "tiny", locked=True) == tiny.lock()
    assert pipeline.lock(session, "tiny") == tiny.lock(), "and locking again asks nobody"


@pytest.mark.parametrize(("locked", "offline", "option"), [(True, False, "--locked"), (False, True, "--offline")])
def test_a_missing_or_stale_lock_is_not_made_where_that_is_forbidden(
    session: Session, locked: bool, offline: bool, option: str
) -> None:
    session.offline = offline
    with pytest.raises(LockError, match=f"does not exist, and {option}"):
        need_lock(session, "tiny", locked=locked)
    lock_of(session, only(tiny.lock(), "base", "system"))
    with pytest.raises(LockError, match=rf"does not fit the manifests: .*env-base.*and {option}") as caught:
        need_lock(session, "tiny", locked=locked)
    assert "invoke lock" in caught.value.hint


def test_offline_names_what_the_store_lacks(session: Session) -> None:
    session.offline = True
    with pytest.raises(StoreError, match=r"--offline, but the store lacks .*\.deb.* and \d+ more") as caught:
        fetch(session, tiny.lock())
    assert "invoke fetch --variant tiny" in caught.value.hint


def test_what_mirrors_have_dropped_is_named_with_the_way_out(session: Session) -> None:
    lock = only(tiny.lock(), "base", "env-base")
    with pytest.raises(GoneError) as caught:
        fetch_fresh(session, lock, update_stale=False)
    assert set(caught.value.gone) == {pin.filename for section in lock.sections for pin in section.pins}
    assert "libc6_2.36-9+deb12u14_amd64.deb" in caught.value.message
    assert "invoke lock --variant tiny --only apt && invoke lock --variant tiny --only pypi" in caught.value.hint
    assert caught.value.exit_code == 3


def test_what_is_fetched_is_in_the_store_and_not_fetched_again(
    session: Session, server: Server, tmp_path: Path
) -> None:
    lock = with_real_content(only(tiny.lock(), "base"), server)
    assert fetch(session, lock).fetched == 2
    asked = len(server.requests)
    assert fetch(session, lock).fetched == 0
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
    session: Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = with_real_content(only(tiny.lock(), "base"), server)
    gone = tuple(pin.model_copy(update={"file": f"pool/old/{pin.filename}"}) for pin in tiny.lock().sections[0].pins)
    stale = fresh.model_copy(update={"sections": (fresh.sections[0].model_copy(update={"pins": gone}),)})
    asked: list[tuple[str, object]] = []

    def again(session: Session, variant: str, *, only: str | None = None) -> Lock:
        asked.append((variant, only))
        return fresh

    monkeypatch.setattr("dsvm.session.fetching.lock_variant", again)
    monkeypatch.setattr("dsvm.lock.compare", lambda *args: None)  # what is served here are no packages
    assert fetch_fresh(session, stale, update_stale=True) == fresh
    assert asked == [("tiny", "apt")]
    monkeypatch.setattr("dsvm.session.fetching.lock_variant", lambda *args, **more: stale)
    with pytest.raises(GoneError):  # resolving again did not help: said, not tried for ever
        fetch_fresh(session, stale, update_stale=True)


@pytest.mark.parametrize("option", ["leave_out", "put_back", "only"])
def test_whoever_names_a_retired_tool_is_told_what_takes_its_place(session: Session, option: str) -> None:
    row = Retired(tool="slates", since="2019", why="broken", successors=("notebooks",), source="a book")
    session.catalog = replace(session.catalog, retired={"slates": row})
    lock_of(session, tiny.lock())
    with pytest.raises(InputError, match=r"'slates' is retired since 2019: broken \(a book\); in its place: notebooks"):
        if option == "only":
            pipeline.verify(session, "tiny", "docker", only=["slates"])
        else:
            pipeline.lock(session, "tiny", **{option: ["slates"]})  # type: ignore[arg-type]


def test_a_base_whose_ecosystem_is_not_here_loads_and_cannot_be_locked(session: Session) -> None:
    base = session.catalog.bases["tiny-12"].model_copy(update={"ecosystem": "zypper"})
    session.catalog = replace(session.catalog, bases={"tiny-12": base})
    with pytest.raises(LockError, match="base 'tiny-12' takes its packages from the ecosystem 'zypper'"):
        pipeline.lock(session, "tiny")


def test_what_was_not_left_out_cannot_be_put_back(session: Session) -> None:
    lock_of(session, tiny.lock())
    with pytest.raises(InputError, match="'arrays' is not left out of tiny"):
        pipeline.lock(session, "tiny", put_back=["arrays"])


def test_cleaning_keeps_what_a_lock_names(session: Session, server: Server, monkeypatch: pytest.MonkeyPatch,
                                          tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.setattr("dsvm.pipeline.keeping.ROOT", tmp_path)
    lock = with_real_content(only(tiny.lock(), "base"), server)
    fetch(session, lock)
    lock_of(session, lock)
    other = tmp_path / "other"
    other.write_text("of no lock")
    sha256, _ = session.store.add(other)
    assert pipeline.clean_store(session)[0] == 1
    assert not session.store.has(sha256)
    assert all(session.store.has(pin.sha256, pin.size) for pin in lock.sections[0].pins)
