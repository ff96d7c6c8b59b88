"""Asking again for what was out of reach: what is asked, and how long anybody waits."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from server import Resource, Server

from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.host import Host
from dsvm.model import OUT_OF_REACH, LeftOut, LeftOutKind, Lock, Tool
from dsvm.session import Session
from dsvm.store import Store


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Session(lambda line: None, lambda line: None)
    made.host = Host(environ={"HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}, etc=tmp_path / "etc")
    made.store = Store(tmp_path / "store")
    return made


def world(*tools: tuple[str, str, tuple[str, ...]]) -> Catalog:
    """The small catalog with tools of one download each: name, URL, what it needs."""
    editor, known = tiny.catalog().tools["editor"], tiny.catalog()
    made = {name: _tool(editor, name, url, requires) for name, url, requires in tools}
    variant = known.variants["tiny"].model_copy(update={"tools": ("arrays", *made)})
    return replace(known, tools={**known.tools, **made}, variants={"tiny": variant})


def _tool(editor: Tool, name: str, url: str, requires: tuple[str, ...]) -> Tool:
    source = editor.sources[0]
    (download,) = source.requests()["url"]
    source = source.model_copy(update={"url": (download.model_copy(update={"url": url}),), "build": {}})
    return editor.model_copy(update={"tool": name, "sources": (source,), "requires": requires})


def lock(**left_out: LeftOutKind) -> Lock:
    found = tuple(LeftOut(tool=tool, reason=OUT_OF_REACH, kind=kind) for tool, kind in left_out.items())
    choices = tuple(one for one in tiny.lock().choices if one.tool == "arrays")
    return tiny.lock().model_copy(update={"left_out": found, "choices": choices})


def test_who_keeps_silent_costs_no_more_than_our_patience(session: Session, server: Server) -> None:
    server.add("/quick", Resource(b"x"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/slow"
        session.catalog = world(("slow", url, ()), ("quick", f"{server.url}/quick", ()), ("later", url, ("slow",)))
        begun = time.monotonic()
        asked = lock(slow="unreachable", quick="unreachable", later="unreachable")
        found = locks.ask_again(session.catalog, asked, session.context("tiny"), patience=4)
        assert time.monotonic() - begun < 12
        assert found.back == ("quick",)
        assert found.out == {"slow": "no answer within 4 s", "later": "it needs slow"}
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("ask-"):
            thread.join(30)  # what was asked of nobody ends by itself


def test_only_what_was_out_of_reach_is_asked(session: Session, server: Server) -> None:
    names = ("wanted", "refused", "needs-refused", "needs-more")
    needs = {"needs-refused": ("refused",), "needs-more": ("needs-refused",)}
    session.catalog = world(*((name, server.add(f"/{name}", Resource(b"x")), needs.get(name, ())) for name in names))
    kinds: dict[str, LeftOutKind] = {**dict.fromkeys(names, "unreachable"), "refused": "requested"}
    found = locks.ask_again(session.catalog, lock(**kinds), session.context("tiny"))
    assert (found.back, found.out) == (("wanted",), {})
    assert [request.path for request in server.requests] == ["/wanted"]
    session.catalog = world(("other", f"{server.url}/wanted", ()))
    assert locks.ask_again(session.catalog, lock(**kinds), session.context("tiny")) == locks.Reach(), "it names none"


def test_what_comes_in_falls_into_groups_that_do_not_need_each_other() -> None:
    catalog = world(*((name, "https://x.invalid/x", needs) for name, needs in (
        ("a", ()), ("b", ("c",)), ("c", ()), ("d", ("a", "arrays")), ("e", ("arrays",)), ("f", ("b", "a")),
    )))  # fmt: skip
    assert sorted(map(sorted, locks.apart(catalog, "abcde"))) == [["a", "d"], ["b", "c"], ["e"]]
    assert sorted(map(sorted, locks.apart(catalog, "bcdfae"))) == [["a", "b", "c", "d", "f"], ["e"]]
    assert locks.apart(catalog, ()) == []


@pytest.mark.parametrize(
    ("kind", "said"), [("unreachable", None), ("unreachable", "unreachable"), ("requested", "requested")]
)
def test_a_reason_of_before_there_were_kinds_says_which_it_is(kind: str, said: str | None) -> None:
    read = LeftOut.model_validate({"tool": "x", "reason": OUT_OF_REACH, **({"kind": said} if said else {})})
    assert read.kind == kind
    assert LeftOut(tool="x", reason="left out on request").kind == "requested"


def test_between_two_locks_tools_that_came_in_move_together(session: Session) -> None:
    """A night that finds something broken tries locks with and without them."""
    session.catalog = catalog = tiny.catalog()
    whole = tiny.lock()
    out = LeftOut(tool="editor", reason=OUT_OF_REACH, kind="unreachable")
    ours = {section.id for section in whole.sections if "editor" in section.tools}
    old = whole.model_copy(
        update={
            "choices": tuple(one for one in whole.choices if one.tool != "editor"),
            "left_out": (out,),
            "sections": tuple(one for one in whole.sections if one.id not in ours),
        }
    )
    assert locks.check(catalog, old) == old
    moved = [one.model_copy(update={"pins": one.pins[:1]}) if one.id == "env-nets" else one for one in whole.sections]
    new = whole.model_copy(update={"sections": tuple(moved)})
    came, other = locks.moves(old, new, base_ecosystem="apt")
    assert (came.name, other.section) == ("the tools that came in or went", "env-nets")
    with session.context("tiny") as context:
        assert locks.mix(catalog, old, new, [came], context) == whole
        assert locks.mix(catalog, old, new, [], context) == old
        assert locks.mix(catalog, old, new, [came, other], context) == new
    base = [one.model_copy(update={"pins": one.pins[:1]}) if one.id == "base" else one for one in whole.sections]
    (together,) = locks.moves(old, whole.model_copy(update={"sections": tuple(base)}), base_ecosystem="apt")
    assert together == came, "its build section is solved on the new base"
