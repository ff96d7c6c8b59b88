"""BuildKit's events become rows, whatever form buildx gives them; failures become messages."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from dsvm.container import buildkit as docker
from dsvm.container.progress import BuildProgress
from dsvm.container.timings import Vertex, timings
from dsvm.model import BaseKind, BuildError, EngineError
from dsvm.plan import files_context, make_plan
from dsvm.screen.build import LineScreen
from dsvm.session import LayerCaches, StageState
from dsvm.store import Store

PLAN = make_plan(tiny.catalog(), tiny.lock())
BEGIN, END = "2026-11-22T14:00:00.000000001Z", "2026-11-22T14:00:02.500000001Z"


class Silent:
    def update(self, stages: Mapping[str, StageState]) -> None: ...
    def close(self) -> None: ...


def vertex(digest: str, name: str, **more: Any) -> dict[str, Any]:
    return {"vertexes": [{"digest": digest, "name": name, **more}]}


def log(digest: str, text: str) -> dict[str, Any]:
    return {"logs": [{"vertex": digest, "stream": 1, "data": base64.b64encode(text.encode()).decode()}]}


EVENTS = [
    vertex("a", "[context store-env-base] load from client", started=BEGIN),
    {"statuses": [{"id": "transferring", "vertex": "a", "name": "transferring", "current": 5_000_000}]},
    vertex("a", "[context store-env-base] load from client", started=BEGIN, completed=END),
    vertex("b", '[env-base_0 1/1] RUN ["/dsvm/bin/install-pypi", "{"]', started=BEGIN),
    log("b", "unpacking { [1/2]\n}\n"),
    vertex("b", '[env-base_0 1/1] RUN ["/dsvm/bin/install-pypi", "{"]', started=BEGIN, completed=END),
    vertex("c", "[runtime-python 1/1] RUN", started=BEGIN, completed=BEGIN, cached=True),
    vertex("d", "exporting to image", started=BEGIN),
]


def follow(lines: Iterable[str]) -> tuple[BuildProgress, str]:
    text = io.StringIO()
    progress = BuildProgress(PLAN, Silent())
    progress.follow(lines, text)
    return progress, text.getvalue()


def as_lines(events: Iterable[Mapping[str, Any]], indent: int | None) -> list[str]:
    """The stream of buildx: one object on a line, or, in buildx 0.13, spread over many."""
    return [line for event in events for line in (json.dumps(event, indent=indent) + "\n").splitlines(keepends=True)]


@pytest.mark.parametrize("indent", [None, 2])
def test_events_become_rows(indent: int | None) -> None:
    progress, text = follow(as_lines(EVENTS, indent))
    rows = {name: (stage.state, stage.seconds) for name, stage in progress.stages.items()}
    assert rows["env-base"] == ("done", 2.5)
    assert rows["artefacts"] == ("done", 2.5)
    assert rows["runtime-python"] == ("cached", 0.0)
    assert rows["export"][0] == "done", "the rows around the stages end with the build"
    assert rows["env-nets"] == ("waiting", 0.0)
    assert "[env-base] unpacking { [1/2]\n[env-base] }\n" in text


@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_no_event_is_kept(indent: int | None) -> None:
    lines = ["WARNING: something\n", *as_lines(EVENTS, indent), "ERROR: failed to solve: canceled\n"]
    progress, text = follow(lines)
    assert progress.rest == "WARNING: something\nERROR: failed to solve: canceled\n"
    assert "ERROR: failed to solve" in text
    assert progress.stages["env-base"].state == "done"


def test_a_row_is_over_when_nothing_of_it_runs() -> None:
    """Contexts are looked at first and transferred later; the image's steps come in all through the build."""
    later, much_later = BEGIN.replace("00:00", "00:04"), BEGIN.replace("00:00", "00:09")
    context, copy = "[context store-env-base] load from client", "[image 1/4] COPY --link --from=env-base /out/ /"
    seen: list[dict[str, str]] = []
    progress = BuildProgress(PLAN, Silent())
    for event in [
        vertex("a", context, started=BEGIN, completed=BEGIN),
        vertex("a", context, started=later),
        vertex("a", context, started=later, completed=much_later),
        vertex("i", copy, started=BEGIN, completed=END),
        vertex("s", "[system 1/2] RUN", started=BEGIN, completed=BEGIN, cached=True),
        vertex("t", "[system 2/2] RUN", started=BEGIN),
        vertex("t", "[system 2/2] RUN", started=BEGIN, completed=END),
        vertex("e", "exporting to image", started=BEGIN),
    ]:
        progress._apply(event, io.StringIO())
        seen.append({name: stage.state for name, stage in progress.stages.items()})
    assert [one["artefacts"] for one in seen[:3]] == ["done", "running", "done"]
    assert progress.stages["artefacts"].started is None
    assert progress.stages["artefacts"].seconds == 5.0, "of the longest run"
    assert [one["system"] for one in seen[4:7]] == ["cached", "running", "done"]
    assert [one["image"] for one in seen[3:]] == ["running"] * 4 + ["done"]


def at(second: float) -> str:
    return f"2026-11-22T14:00:{second:09.6f}Z"


def ran(digest: str, name: str, begun: float, ended: float, *inputs: str, **more: Any) -> dict[str, Any]:
    return vertex(digest, name, started=at(begun), completed=at(ended), inputs=list(inputs), **more)


def test_when_steps_ran_and_which_of_them_the_build_waited_for() -> None:
    events = [
        ran("base", "[base 1/1] FROM x", 1, 1, cached=True),
        ran("dir", "[system 1/9] WORKDIR /", 1, 1.001, "base"),
        ran("short", "[env-base_0 1/1] RUN", 1.5, 4, "base"),
        ran("long", "[system 2/9] RUN", 1.25, 9, "dir"),
        ran("copy", "[image 1/4] COPY --link --from=env-base_0", 4, 4.2, "short"),
        ran("link", "[image 1/4] LINK COPY", 9.5, 9.75, "long", "copy"),
        ran("config", "[internal] load build definition", 0, 0.5),
        ran("export", "exporting to image", 10, 15),
    ]
    progress, _ = follow(as_lines(events, None))
    rows = [(one.row, one.begun, one.seconds, one.cached, one.critical) for one in progress.timings]
    assert rows == [
        ("base", 0.0, 0.0, True, False),
        ("system", 0.0, 0.0, False, True),
        ("system", 0.25, 7.75, False, True),
        ("env-base", 0.5, 2.5, False, False),
        ("image", 3.0, 0.2, False, False),
        ("image", 8.5, 0.25, False, True),
        ("export", 9.0, 5.0, False, True),
    ]


def test_a_step_whose_layers_come_from_a_registry_is_cached() -> None:
    """What BuildKit says where something runs on top of a step that it has from the cache of another engine."""
    name = "[runtime-python 1/1] RUN"
    events = [
        vertex("r", name, started=at(1), cached=True),
        vertex("r", name, started=at(1.1)),
        vertex("r", name, started=at(1.1), completed=at(8)),
        vertex("r", name, started=at(1), completed=at(8.1), cached=True),
    ]
    progress, text = follow(as_lines(events, None))
    assert progress.stages["runtime-python"].state == "cached"
    assert name not in text
    assert [one.cached for one in progress.timings] == [True]


def test_a_step_that_was_looked_at_and_ran_later_counts_once_and_is_not_cached() -> None:
    name = "[context store-env-base] load from client"
    events = [ran("a", name, 1, 1), ran("a", name, 2, 5), ran("b", "[env-base_0 1/1] RUN", 5, 6, "a")]
    progress, _ = follow(as_lines(events, None))
    assert [(one.begun, one.seconds, one.cached) for one in progress.timings] == [(0, 3, False), (3, 1, False)]
    assert follow([])[0].timings == ()


def test_what_comes_from_the_cache_is_waited_for_by_nobody() -> None:
    """BuildKit finds a copy in its cache by what it would copy, once that has been made anew."""
    events = [
        ran("short", "[env-base_0 1/1] RUN", 0, 3),
        ran("long", "[env-nets 1/1] RUN", 0, 5),
        ran("one", "[image 1/4] COPY --link", 5, 5, "short", cached=True),
        ran("two", "[image 2/4] COPY --link", 5, 5, "long", cached=True),
        ran("link", "[image 2/4] LINK COPY", 5, 5.1, "one", "two"),
        ran("export", "exporting to image", 6, 7),
    ]
    progress, _ = follow(as_lines(events, None))
    assert [one.row for one in progress.timings if one.critical] == ["env-nets", "image", "export"]


@given(
    st.dictionaries(
        st.integers(0, 9),
        st.tuples(st.sets(st.integers(0, 9)), st.floats(0, 60), st.floats(0, 60), st.booleans(), st.booleans()),
        max_size=10,
    )
)
def test_steps_that_wait_for_each_other_end_too(graph: dict[int, tuple[set[int], float, float, bool, bool]]) -> None:
    """What an engine says is foreign: circles and inputs that nobody knows of do not hang."""
    vertices = {
        str(name): Vertex(
            "step", "export" if is_export else "env", tuple(map(str, inputs)), (begun, begun + length), cached
        )
        for name, (inputs, begun, length, is_export, cached) in graph.items()
    }
    assert len(timings(vertices)) <= len(graph)


def test_a_failed_stage_is_named_with_its_own_output(tmp_path: Path) -> None:
    events = [
        vertex("x", "[env-nets 1/1] RUN", started=BEGIN),
        log("x", "no such wheel\n"),
        vertex("y", "[env-base_0 1/1] RUN", started=BEGIN, completed=END, error="context canceled"),
        vertex("x", "[env-nets 1/1] RUN", started=BEGIN, completed=END, error="exit code: 1"),
    ]
    progress, text = follow(as_lines(events, 2))
    path = tmp_path / "build.log"
    path.write_text(text)
    error = docker._failure(progress, path)
    assert isinstance(error, BuildError)
    assert error.message == "stage env-nets failed:\n    no such wheel"
    assert str(path) in error.hint


@pytest.mark.parametrize(
    ("said", "kind", "what"),
    [
        ("write /x: no space left on device", BuildError, "disk is full"),
        ("dpkg: unable to flush /x: No space left on device", BuildError, "disk is full"),
        ("ERROR: error reading from server: EOF", EngineError, "went away"),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x", EngineError, "went away"),
        ("ERROR: something else", BuildError, "something else"),
    ],
)
def test_other_failures_say_what_to_do(tmp_path: Path, said: str, kind: type[Exception], what: str) -> None:
    progress, text = follow([said + "\n"])
    path = tmp_path / "build.log"
    path.write_text(text)
    error = docker._failure(progress, path)
    assert isinstance(error, kind)
    assert what in error.message
    assert str(path) in error.hint


def test_lines_are_said_once_for_each_change() -> None:
    text = io.StringIO()
    screen = LineScreen(text)
    progress = BuildProgress(PLAN, screen)
    progress.follow(as_lines(EVENTS, 2), io.StringIO())
    lines = text.getvalue().splitlines()
    assert "build: env-base: running" in lines
    assert "build: env-base: done after 2.5 s" in lines
    assert len(lines) == len(set(lines))


def test_build_contexts_hold_exactly_what_the_stages_mount(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    sections = []
    for section in PLAN.sections:
        pins = []
        for pin in section.pins:
            file = tmp_path / "file"
            file.write_text(pin.name)
            sha256, size = store.add(file)
            pins.append(pin.model_copy(update={"sha256": sha256, "size": size}))
        sections.append(section.model_copy(update={"pins": tuple(pins)}))
    plan = PLAN.model_copy(update={"sections": tuple(sections)})
    contexts = docker.prepare(plan, store, tmp_path / "build")
    stores = {f"store-{name}" for name in tiny.PACKAGES if name != "base" and not name.startswith("env-")}
    parts = {name for name in contexts if name.startswith("store-env-")}
    assert set(contexts) == {files_context(plan), "scripts", *stores, *parts}
    env = [contexts[name] for name in sorted(parts) if name.startswith("store-env-base_")]
    held = [path.name for part in env for path in part.iterdir() if path.name != "section.json"]
    assert sorted(held) == ["arrays-1.4.0-py3-none-any.whl", "numpy-2.4.0-py3-none-any.whl"]
    described = env[0] / "section.json"
    assert json.loads(described.read_text())["id"] == "env-base_0"
    before = (described.stat().st_mtime_ns, described.stat().st_size)
    docker.prepare(plan, store, tmp_path / "build")
    assert (described.stat().st_mtime_ns, described.stat().st_size) == before, "the builder would copy it again"
    again = [one.model_copy(update={"epoch": one.epoch + 1, "tools": ("another",)}) for one in sections]
    other = docker.prepare(PLAN.model_copy(update={"sections": tuple(again)}), store, tmp_path / "other")
    assert (other["store-env-base_0"] / "section.json").read_bytes() == (
        contexts["store-env-base_0"] / "section.json"
    ).read_bytes(), "a part runs again though its packages are the same"


def test_small_files_of_a_section_lie_beside_its_pins(tmp_path: Path) -> None:
    texts = {"Project.toml": "[deps]\n", "lists/loads": "Łódź\n"}
    sections = [
        one.model_copy(
            update={"pins": (), "extra": {**one.extra, "texts": texts} if one.id == "editor-url" else one.extra}
        )
        for one in PLAN.sections
    ]
    plan = PLAN.model_copy(update={"sections": tuple(sections)})
    place = docker.prepare(plan, Store(tmp_path / "store"), tmp_path / "build")["store-editor-url"]
    held = {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}
    assert held.pop("section.json")
    assert held == texts


@pytest.mark.parametrize(("kind", "forced"), [("bootstrap", True), ("registry", False)])
def test_a_base_that_was_made_here_is_compressed_too(kind: BaseKind, forced: bool) -> None:
    plan = make_plan(tiny.catalog(), tiny.lock()).model_copy(update={"base_kind": kind})
    recipe = docker.Recipe(plan, Path("folder"), {})
    assert ("force-compression=true" in recipe.layers.split(",")) == forced


def test_build_and_bake_are_told_the_same() -> None:
    caches = LayerCaches(("registry.example/cache",), "registry.example/cache")
    recipe = docker.Recipe(PLAN, Path("folder"), {"scripts": Path("scripts")}, caches, "abc")
    options, target = recipe.options("type=docker", "x:y"), recipe.target("type=docker", "x:y")
    told = [f"--build-arg={name}={value}" for name, value in target["args"].items()]
    told += [f"--label={name}={value}" for name, value in target["labels"].items()]
    told += [f"--{key}={one}" for key in ("cache-from", "cache-to") for one in target[key]]
    assert options == [*told, f"--output={target['output'][0]}"]
