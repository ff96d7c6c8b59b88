"""What a page says of an image: nothing good of what nobody looked at, all of it escaped, and bytes that add up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import report_world as world
import tiny
from hypothesis import given
from hypothesis import strategies as st

from dsvm import lock as locks
from dsvm import pipeline
from dsvm.checks import planned_checks
from dsvm.container import Timing
from dsvm.model import Finding, InputError, LeftOut, Lock, LockError, Policy, Waiver, Where
from dsvm.plan import make_plan
from dsvm.report import Asked, Page, look, overview_of, page_html, page_of, words
from dsvm.report.timeline import timeline
from dsvm.report.treemap import CANVASES, rectangles, to_json
from dsvm.report.trend import HEIGHT, charts
from dsvm.sbom import Node
from dsvm.screen.variants import list_answer


def page(here: world.Here, lock: Lock) -> Page:
    return page_of(here, look(here, lock, Asked()), Asked())


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@pytest.fixture
def here(tmp_path: Path) -> world.Here:
    return world.session(tmp_path)


class Read(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# --- verdicts ----------------------------------------------------------------------------------------------


def test_a_lock_alone_is_not_exercised_and_says_so(here: world.Here) -> None:
    made = page(here, world.lock(here))
    count = len(planned_checks(make_plan(here.catalog, tiny.lock())))
    assert made.standing.verdict == "not exercised"
    assert {tool.state for tool in made.tools} == {"not exercised"}
    read = Read(page_html(made))
    assert "Not exercised" in read.text and "May be shipped" not in read.text
    assert f"This page is of the lock alone: no image of it was built here, so none of its {count} checks" in read.text
    assert [row.name for row in made.layers][:2] == ["base", "system"], "what will be layers"


def test_a_verified_build_may_be_shipped(here: world.Here) -> None:
    lock = world.lock(here)
    world.verify(here, *world.build(here, lock))
    made = page(here, lock)
    assert made.standing.verdict == "may" and made.standing.report is not None
    arrays = next(tool for tool in made.tools if tool.name == "arrays")
    assert (arrays.version, arrays.state, arrays.count("passed")) == ("1.4.0", "passed", 2)
    assert [(row.name, round(row.share)) for row in made.layers] == [("base", 25), ("system", 75)]
    read = Read(page_html(made))
    assert f"{len(made.standing.report.results)} checks passed, none failed" in read.text
    assert "every file accounted fornot looked at" in read.text


def test_what_was_not_verified_is_not_called_good(here: world.Here) -> None:
    lock = world.lock(here)
    world.build(here, lock)
    made = page(here, lock)
    assert made.standing.verdict == "not verified"
    assert "no verification of it is known here" in Read(page_html(made)).text


def test_a_failed_check_is_shown_with_what_it_printed(here: world.Here) -> None:
    lock = world.lock(here)
    world.verify(here, *world.build(here, lock), failed="arrays", output=f"expected 3, found {HOSTILE}")
    made = page(here, lock)
    assert made.standing.verdict == "must not"
    read = Read(page_html(made))
    assert "2 checks of " in read.text and f"expected 3, found {HOSTILE}" in read.text
    assert [one for one in read.of("details") if "open" in one], "what failed is open"


def test_a_policy_that_forbids_weighs_more_than_checks_that_pass(here: world.Here) -> None:
    policy = Policy(levels={"license": "error"}, fail_on="error")
    here.catalog = replace(here.catalog, policy=policy)
    lock = world.lock(here)
    world.verify(here, *world.build(here, lock))
    made = page(here, lock)
    assert made.standing.verdict == "must not"
    assert "The policy forbids to ship it" in Read(page_html(made)).text


def test_what_the_ledger_found_is_among_the_findings(here: world.Here) -> None:
    lock = world.lock(here)
    world.verify(here, *world.build(here, lock))
    where = Where(path="/usr/bin/x")
    planted = Finding(rule="file-unexplained", id="/usr/bin/x", level="error", what="a file", where=where)
    good = page_of(here, look(here, lock, Asked(), lambda evidence: iter(())), Asked())
    bad = page_of(here, look(here, lock, Asked(), lambda evidence: iter([planted])), Asked())
    assert good.standing.verdict == "may" and bad.standing.verdict == "must not"
    assert bad.standing.of_files == (planted,)
    said = [Read(page_html(one)).text.partition("every file accounted for")[2][:9] for one in (good, bad)]
    assert said[0].startswith("yes") and said[1] == "1 finding"


@pytest.mark.parametrize("other", ["lock", "image", "broken"])
def test_a_report_of_something_else_counts_for_nothing(here: world.Here, other: str) -> None:
    lock = world.lock(here)
    plan, built = world.build(here, lock)
    world.verify(here, plan, built)
    path = here.folder("tiny") / "report.json"
    data = json.loads(path.read_text())
    path.write_text("{" if other == "broken" else json.dumps(data | {other: f"{'0' * 62}ab"}))
    assert page(here, lock).standing.verdict == "not verified"


def test_the_build_of_another_lock_is_not_that_of_this_one(here: world.Here) -> None:
    old = tiny.lock()
    world.verify(here, *world.build(here, old))
    new = world.newer(old)
    world.lock(here, new)
    made = page(here, new)
    assert made.standing.verdict == "not exercised"
    assert made.changes is not None and "arrays 1.4.0 -> 1.5.0" in made.changes.headline
    assert "What building it would change, since the build of 26 Nov 2026" in Read(page_html(made)).text
    world.build(here, new, 1)
    made = page(here, new)
    assert made.changed_from is not None and made.changed_from.built.seconds == 10.0
    assert "Since the previous build with another lock" in Read(page_html(made)).text


def test_a_build_of_a_lock_that_fits_the_manifests_no_more_is_nothing_good(here: world.Here) -> None:
    lock = world.lock(here)
    world.verify(here, *world.build(here, lock))
    tool = here.catalog.tools["arrays"]
    (source,) = tool.sources
    changed = tool.model_copy(update={"sources": (source.model_copy(update={"pypi": ("arrays ~= 2.0",)}),)})
    here.catalog = replace(here.catalog, tools={**here.catalog.tools, "arrays": changed})
    made = page(here, lock)
    assert made.standing.plan is None and made.standing.verdict == "not exercised"
    assert "The lock does not fit the manifests any more" in Read(page_html(made)).text
    assert pipeline.report(here, "tiny", Asked())


def test_a_variant_for_machines_alone_and_a_build_before_history_have_pages_too(tmp_path: Path) -> None:
    here = world.session(tmp_path, tiny.windows_catalog())
    made = page(here, world.lock(here, tiny.windows_lock()))
    assert made.standing.verdict == "not exercised"
    assert "Not exercised" in page_html(made)
    other = world.session(tmp_path / "other")
    lock = world.lock(other)
    _, built = world.build(other, lock)
    folder = other.folder("tiny")
    (folder / "build.json").write_text(built.model_copy(update={"timings": ()}).model_dump_json())
    for path in (folder / "history").iterdir():
        path.unlink()
    made = page(other, lock)
    assert made.standing.verdict == "not verified"
    assert "when its steps ran was not kept" in page_html(made)


# --- foreign text ------------------------------------------------------------------------------------------


def test_nothing_foreign_becomes_markup(here: world.Here) -> None:
    lock = world.lock(here)
    made = page(here, lock)
    where = Where(file=HOSTILE, path=HOSTILE, pin=HOSTILE, section=HOSTILE, tools=(HOSTILE,))
    finding = Finding(
        rule="vulnerability", id=HOSTILE, level="warning", what=HOSTILE, where=where, why=HOSTILE, action=HOSTILE,
        source=HOSTILE, waived=HOSTILE,
    )  # fmt: skip
    unwaived = finding.model_copy(update={"waived": None})
    standing = replace(
        made.standing,
        summary=HOSTILE,
        audit=made.standing.audit.model_copy(update={"findings": (finding, unwaived)}),
    )
    tools = tuple(replace(one, summary=HOSTILE, license=HOSTILE, left_out=HOSTILE, name=HOSTILE) for one in made.tools)
    packages = tuple(replace(one, name=HOSTILE, license=HOSTILE, tools=(HOSTILE,) * 5) for one in made.packages)
    layers = tuple(replace(one, name=HOSTILE, title=HOSTILE, unreproducible=HOSTILE) for one in made.layers)
    root = Node(HOSTILE)
    root.add([HOSTILE, HOSTILE, HOSTILE], 7)
    times = timeline([Timing(row=HOSTILE, what=HOSTILE, begun=0, seconds=3)])
    hostile = replace(
        made, standing=standing, tools=tools, packages=packages, layers=layers, tree=to_json(root), timeline=times
    )
    read = Read(page_html(hostile))
    assert not read.of("img")
    assert [one.get("type") for one in read.of("script")] == ["application/json", None]
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    # what the data block holds comes back as it is
    data = re.search(r'id="tree">(.*?)</script>', page_html(hostile), re.S)
    assert data is not None and json.loads(data[1])["c"][0]["n"] == HOSTILE


@pytest.mark.parametrize("homepage", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"])
def test_a_link_leads_to_the_web_or_nowhere(here: world.Here, homepage: str) -> None:
    tool = here.catalog.tools["arrays"].model_copy(update={"homepage": homepage})
    here.catalog = replace(here.catalog, tools={**here.catalog.tools, "arrays": tool})
    html = page_html(page(here, world.lock(here)))
    assert homepage not in html
    assert {str(one["href"]).partition("#")[0] for one in Read(html).of("a")} >= {"https://example.invalid/editor"}


def test_a_page_asks_nobody_for_anything_and_runs_its_own_script_alone(here: world.Here) -> None:
    html = page_html(page(here, world.lock(here)))
    read = Read(html)
    policy = next(one["content"] for one in read.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src" not in policy and "unsafe-inline'; img-src data:" in policy
    assert not any("src" in attributes for _, attributes in read.tags)
    assert [one["href"] for one in read.of("link")] == ["data:,"]
    assert "@import" not in html and "url(" not in html


# --- sizes -------------------------------------------------------------------------------------------------


def nodes(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield said
    for one in said.get("c", ()):
        yield from nodes(one)


def test_the_treemap_holds_every_byte_of_the_image_once(here: world.Here) -> None:
    lock = world.lock(here)
    made = page(here, lock)
    in_image = [one for one in lock.sections if one.id in ("base", "system", "env-base", "env-nets", "editor-url")]
    assert made.tree["s"] == sum(pin.size for section in in_image for pin in section.pins)
    for one in nodes(dict(made.tree)):
        assert "c" not in one or one["s"] == sum(inner["s"] for inner in one["c"])
    groups = {one["n"]: [inner["n"] for inner in one["c"]] for one in made.tree["c"]}
    assert "arrays" in groups["python base"]
    assert groups["operating system"] == ["base"]


def test_the_list_has_the_sizes_of_the_treemap(here: world.Here) -> None:
    lock = world.lock(here)
    made = page(here, lock)
    listed = {one.variant: one.sizes for one in list_answer(here, sizes=True).variants}[lock.variant]
    assert listed is not None and "arrays" in listed["python-base"]
    drawn = {one["n"].replace(" ", "-"): one["s"] for one in made.tree["c"]}
    assert {name.replace(" ", "-"): sum(tools.values()) for name, tools in listed.items()} == drawn


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=60), st.sampled_from(sorted(CANVASES)))
def test_rectangles_lie_in_their_canvas_beside_each_other(sizes: list[int], kind: str) -> None:
    found = rectangles(sorted(sizes, reverse=True), CANVASES[kind])
    assert len(found) == len(sizes)
    assert all(
        left >= -1 and top >= -1 and left + wide <= 1001 and top + high <= 1001 for left, top, wide, high in found
    )
    assert all(wide >= 0 and high >= 0 for _, _, wide, high in found)
    # thousandths: of a whole of a million, rounded edges leave little out and nothing twice
    area = sum(wide * high for _, _, wide, high in found)
    assert abs(area - 1_000_000) <= 2_000 * (len(sizes) + 1)


@given(st.recursive(st.integers(0, 10**9), lambda inner: st.lists(inner, max_size=50), max_leaves=120))
def test_any_tree_can_be_drawn(shape: Any) -> None:
    root = Node("all")

    def fill(path: list[str], one: Any) -> None:
        if isinstance(one, int):
            root.add(path, one)
        else:
            for number, inner in enumerate(one):
                fill([*path, str(number)], inner)

    fill([], shape)
    said = to_json(root)
    assert said["s"] == root.size
    for one in nodes(said):
        if "c" in one:
            assert len(one["c"]) <= 41
            assert sum(inner["s"] for inner in one["c"]) <= one["s"]
            assert all({"w", "t"} <= inner.keys() for inner in one["c"])


def test_what_is_too_small_to_see_is_one_rectangle() -> None:
    root = Node("all")
    root.add(["big"], 10_000)
    for number in range(5):
        root.add([f"tiny {number}"], 1)
    assert [(one["n"], one["s"]) for one in to_json(root)["c"]] == [("big", 10_000), ("5 smaller ones", 5)]


# --- time --------------------------------------------------------------------------------------------------


def test_rows_of_a_build_say_what_ran_and_what_was_waited_for() -> None:
    found = timeline(world.TIMINGS)
    assert found is not None
    rows = [(row.name, row.state, row.seconds, row.waited) for row in found.rows]
    assert rows == [
        ("base", "cached", 0, 0),
        ("system", "run", 6, 6),
        ("env-base", "run", 3, 0),
        ("image exported", "run", 4, 4),
    ]
    assert [row.name for row in found.waited_for] == ["system", "image exported"]
    assert (found.rows[2].bars[0].left, found.rows[2].bars[0].width) == (10, 30)
    assert [second for _, second in found.ticks] == [0, 2, 4, 6, 8, 10]
    assert timeline([]) is None


@given(st.lists(st.tuples(st.floats(0, 9999), st.floats(0, 9999), st.sampled_from("abc")), max_size=20))
def test_bars_lie_within_the_build(steps: list[tuple[float, float, str]]) -> None:
    found = timeline([Timing(row=row, what="x", begun=begun, seconds=length) for begun, length, row in steps])
    for row in found.rows if found is not None else ():
        assert all(bar.left + bar.width <= 100.02 for bar in row.bars)
        assert row.waited <= row.seconds <= (found.seconds if found is not None else 0) + 0.01


def test_a_trend_needs_two_builds_and_begins_at_zero(here: world.Here) -> None:
    lock = world.lock(here)
    world.build(here, lock)
    assert charts(world.kept(here, "tiny")) == []
    plan, built = world.build(here, lock, 3)
    world.verify(here, plan, built, failed="arrays")
    size, time = charts(world.kept(here, "tiny"))
    assert (size.last, size.top, time.last) == ("403 MB", "403 MB", "13 s")
    assert [(point.x, point.failed) for point in size.points] == [(0, False), (560, True)]
    assert size.points[1].y == 0 and 0 < size.points[0].y < HEIGHT
    assert size.points[0].title.startswith("26 Nov 2026: 400 MB, lock ")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (290.1, "4 min 50 s"), (3720, "1 h 2 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_words() -> None:
    assert words.megabytes(1_749_135_360) == "1,749.1" and words.megabytes(None) == ""
    assert words.moment(datetime(2026, 11, 7, 9, 5, tzinfo=UTC)) == "7 Nov 2026, 09:05 UTC"
    assert words.plural(1, "check") == "1 check" and words.plural(1185, "package") == "1,185 packages"
    said = words.place(Finding(rule="license", id="x", level="note", what="x", source="word " * 100))
    assert said.startswith("by word") and len(said) < 210


# --- all variants, and the command -------------------------------------------------------------------------


def test_the_overview_has_every_tool_in_every_variant(here: world.Here) -> None:
    lock = world.lock(here)
    world.verify(here, *world.build(here, lock))
    found = overview_of(here, [look(here, lock, Asked())])
    assert [one.headline for one in found.standings] == ["May be shipped"]
    cells = {tool: [cell.text for cell in row] for group in found.matrix.values() for (tool, _), row in group.items()}
    assert cells == {"arrays": ["1.4.0"], "editor": ["1.2"], "notebooks": ["2.1"]}


def test_pages_are_written_beside_what_was_built(here: world.Here) -> None:
    world.lock(here)
    paths = pipeline.report(here, "tiny", Asked())
    assert [path.relative_to(here.place).as_posix() for path in paths] == [
        "build/tiny/report.html",
        "build/report/index.html",
    ]
    overview = Read(paths[1].read_text())
    assert "../tiny/report.html" in [one["href"] for one in overview.of("a")]
    assert pipeline.report(here, None, Asked()) == paths


def test_a_broken_lock_of_another_variant_is_said_and_stands_in_nobody_s_way(here: world.Here) -> None:
    said: list[str] = []
    here.warn = said.append
    world.lock(here)
    other = here.catalog.variants["tiny"].model_copy(update={"variant": "other"})
    here.catalog = replace(here.catalog, variants={**here.catalog.variants, "other": other})
    locks.lock_path(here.catalog, "other").write_text("{")
    _, overview = pipeline.report(here, "tiny", Asked())
    assert "other.json: not a lock" in said[0]
    assert "Not locked: other." in Read(overview.read_text()).text
    with pytest.raises(LockError, match=r"other\.json"):
        pipeline.report(here, None, Asked())


def test_a_waiver_that_another_variant_uses_is_not_called_unused(here: world.Here) -> None:
    lock = world.lock(here)
    variant = here.catalog.variants["tiny"]
    here.catalog = replace(
        here.catalog, variants={"tiny": variant, "other": variant.model_copy(update={"variant": "other"})}
    )
    left = LeftOut(tool="editor", reason="too large")
    world.lock(here, lock.model_copy(update={"variant": "other", "left_out": (left,)}))
    waiver = Waiver(rule="left-out", id="editor", reason="nobody edits there", owner="me", expires=date.today())
    here.catalog = replace(here.catalog, policy=Policy(waivers=(waiver,)))
    alone = page(here, lock).standing.audit.findings
    assert any("waives nothing" in one.what for one in alone), "of one variant alone, nobody knows better"
    tiny_page, _ = pipeline.report(here, "tiny", Asked())
    assert (
        "is unused" not in Read(tiny_page.read_text()).text and "waives nothing" not in Read(tiny_page.read_text()).text
    )


def test_what_has_no_lock_has_no_page(here: world.Here, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="tiny has no lock"):
        pipeline.report(here, "tiny", Asked())
    with pytest.raises(InputError, match="tinny"):
        pipeline.report(here, "tinny", Asked())
    with pytest.raises(InputError, match="no such folder or file"):
        Asked.of(image=False, advisories=[str(tmp_path / "nothing")])
