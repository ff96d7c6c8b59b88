"""A base from a registry: whatever is in its layers is locked, by their digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tiny import project

from dsvm.ecosystems import layout_folder
from dsvm.ledger.comparing import compare
from dsvm.ledger.ground import promise_base
from dsvm.ledger.image import Image, Layer
from dsvm.ledger.promises import Promises
from dsvm.model import Entry, LockError, Pin, Plan, Section, Stage, Step
from dsvm.store import Store

SHA = "a" * 64
BASE = project().bases["debian-12"]
FOLDER = Entry("folder", 0o755)


def file(sha256: str = SHA) -> Entry:
    return Entry("file", 0o644, size=1, sha256=sha256)


def written(folder: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs/sha256" / digest).write_bytes(data)
    return digest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def plan(store: Store, tmp_path: Path) -> Plan:
    """With an image of two layers as its base, and a system and a place on top."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": ["l0", "l1"]}}).encode()
    made = {"config": written(tmp_path / "base", config), "manifest": written(tmp_path / "base", b"{}")}
    pins = tuple(
        Pin(name=name, version="1", file="x", size=1, sha256=digest, registry="docker") for name, digest in made.items()
    )
    section = Section(id="base", ecosystem="apt", request=[], input=SHA, epoch=0, pins=pins)
    place = layout_folder(BASE, section, store.root)
    place.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "base").rename(place)
    step = Step(script="install", sections=("x",))
    stages = tuple(
        Stage(name=name, section=name, title=name, parent="base", steps=(step,), output=name != "system")
        for name in ("system", "env-base")
    )
    return Plan.model_construct(base=BASE, base_kind="registry", sections=(section,), stages=stages)  # type: ignore[call-arg]


LAYERS = {
    "l0": [("/etc", FOLDER), ("/etc/a", file()), ("/etc/b", file()), ("/etc/c", file())],
    "l1": [("/etc/.wh.c", file()), ("/etc/d", file())],
    "system": [("/etc/.wh.b", file()), ("/usr/new", file())],
    "env": [("/opt/x", file())],
    "plan": [("/etc/y", file())],
}


def image(layers: dict[str, list[tuple[str, Entry]]]) -> Image:
    return Image("sha256:1", tuple(Layer(name, entries) for name, entries in layers.items()), {})


def found(made: Image, plan: Plan, store: Store) -> list[tuple[str, str]]:
    promised = Promises()
    for path in ("/usr/new", "/opt/x", "/etc/y"):
        promised.add(path, file(), "other")
    layered = promise_base(plan, made, promised, store, [*LAYERS])
    return [(one.verdict, one.path) for one in (*layered, *compare(made.tree(), promised))]


def test_what_is_in_the_base_is_promised_but_for_what_the_system_takes_away(plan: Plan, store: Store) -> None:
    assert found(image(LAYERS), plan, store) == []
    on_top = {**LAYERS, "more": [("/etc/.wh.a", file()), ("/etc/d", file("b" * 64))]}
    assert found(image(on_top), plan, store) == [("missing", "/etc/a"), ("changed", "/etc/d")]


def test_another_base_explains_nothing(plan: Plan, store: Store) -> None:
    other = {"l2" if name == "l1" else name: entries for name, entries in LAYERS.items()}
    assert found(image(other), plan, store)[:2] == [("layers", "/"), ("unexplained", "/etc/a")]


def test_a_base_that_is_not_the_locked_one_is_refused(plan: Plan, store: Store) -> None:
    folder = layout_folder(BASE, plan.sections[0], store.root)
    pin = plan.sections[0].pin("config")
    assert pin is not None
    path = folder / "blobs/sha256" / pin.sha256
    path.write_bytes(path.read_bytes().replace(b"l1", b"l9"))
    with pytest.raises(LockError, match="config in the store is not the locked one"):
        found(image(LAYERS), plan, store)
    path.unlink()
    with pytest.raises(LockError, match="its image is not in the store"):
        found(image(LAYERS), plan, store)
