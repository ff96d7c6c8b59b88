"""Reports in a real browser: nobody is asked for anything, and everything on them works, for everybody.

The pages are those of the largest variant, from its lock, and of a small image that was built and has a past.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
import report_world as world
import tiny
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from dsvm import ROOT, pipeline
from dsvm import lock as locks
from dsvm.model import Finding, Where
from dsvm.plan import make_plan
from dsvm.plan.manifest import image_manifest
from dsvm.report import Asked, look, page_html, page_of

CHROMIUM = shutil.which("chromium") or ""
AXE = ROOT / ".venv/axe/node_modules/axe-core/axe.min.js"
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")

expect.set_options(timeout=30_000)  # milliseconds: other tests keep this machine busy
LARGEST = "gpu-ubuntu"
DESKTOP, PHONE = (1280, 900), (390, 844)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
Scheme = Literal["light", "dark"]


@dataclass
class Seen:
    """A page that is shown, and what it did."""

    page: Page
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        """Whether it asked for nothing but its own file, and has no complaint."""
        return not self.said and all(one.startswith("file:") for one in self.requests) and len(self.requests) == 1


@dataclass
class Viewer:
    """A browser without a network."""

    browser: Browser
    open: list[Page] = field(default_factory=list)

    def show(
        self, path: Path, size: tuple[int, int] = DESKTOP, scheme: Scheme = "light", *, for_axe: bool = False
    ) -> Seen:
        """`for_axe`, the page lets in a script that is not its own."""
        viewport = {"width": size[0], "height": size[1]}
        context = self.browser.new_context(viewport=viewport, color_scheme=scheme, offline=True, bypass_csp=for_axe)  # type: ignore[arg-type]
        seen = Seen(context.new_page())
        self.open.append(seen.page)
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("console", lambda message: seen.said.append(message.text))
        seen.page.on("pageerror", lambda error: seen.said.append(str(error)))
        seen.page.on("dialog", lambda dialog: seen.said.append(dialog.message))
        seen.page.goto(path.as_uri())
        return seen


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # without a sandbox of its own for root, as which continuous integration runs
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def viewer(browser: Browser) -> Iterator[Viewer]:
    found = Viewer(browser)
    yield found
    for page in found.open:
        page.context.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the largest lock that is kept here."""
    here = world.session(tmp_path_factory.mktemp("large"), tiny.project())
    return pipeline.report(here, LARGEST, Asked())[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """The page of a built image that has a past, and the overview."""
    here = world.session(tmp_path_factory.mktemp("small"))
    lock = world.lock(here, world.newer(tiny.lock()))
    world.verify(here, *world.build(here, tiny.lock(), 0), failed="arrays")
    world.verify(here, *world.build(here, lock, 2))
    return pipeline.report(here, "tiny", Asked())


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `dsvm-info --html` prints in the image of the largest lock."""
    catalog = tiny.project()
    lock = locks.find(catalog, LARGEST)
    assert lock is not None
    manifest, place = (tmp_path_factory.mktemp("start") / name for name in ("manifest.json", "start.html"))
    manifest.write_text(json.dumps(image_manifest(make_plan(catalog, lock))))
    argv = [sys.executable, str(ROOT / "scripts/image/dsvm-info"), "--html"]
    place.write_bytes(
        subprocess.run(argv, env={"DSVM_MANIFEST": str(manifest)}, check=True, capture_output=True).stdout
    )
    return place


def shown(rows: Locator) -> int:
    return rows.filter(visible=True).count()


# --- what it takes -----------------------------------------------------------------------------------------


def test_the_largest_page_is_small_and_painted_at_once(viewer: Viewer, large: Path) -> None:
    assert large.stat().st_size <= 2_000_000
    times: list[float] = []
    while len(times) < 5 and not any(time <= 1000 for time in times):  # other tests keep this machine busy
        page = viewer.show(large).page
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        times.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(times) <= 1000, f"milliseconds: {times}"


@pytest.mark.parametrize("which", ["large", "small", "overview"])
def test_nothing_leaves_the_page_and_it_has_no_complaint(
    viewer: Viewer, large: Path, small: Sequence[Path], which: str
) -> None:
    seen = viewer.show({"large": large, "small": small[0], "overview": small[1]}[which])
    page = seen.page
    page.get_by_role("searchbox").fill("a")
    for button in page.locator("th button").filter(visible=True).all():
        button.click()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.pdf()[:5] == b"%PDF-"
    assert seen.quiet, (seen.said, seen.requests)


def test_foreign_text_does_nothing(viewer: Viewer, tmp_path: Path) -> None:
    here = world.session(tmp_path)
    lock = world.lock(here)
    world.verify(here, *world.build(here, lock), failed="arrays", output=HOSTILE)
    made = page_of(here, look(here, lock, Asked()), Asked())
    finding = Finding(rule="x", id="x", level="error", what=HOSTILE, source=HOSTILE, where=Where(path=HOSTILE))
    audit = made.standing.audit.model_copy(update={"findings": (finding,)})
    made = replace(made, standing=replace(made.standing, audit=audit), tree={"n": HOSTILE, "s": 1})
    path = tmp_path / "page.html"
    path.write_text(page_html(made))
    # its policy is switched off: escaping alone has to hold
    seen = viewer.show(path, for_axe=True)
    expect(seen.page.locator("#finding tbody td p").first).to_have_text(HOSTILE)
    expect(seen.page.locator("#crumbs")).to_contain_text(HOSTILE)
    expect(seen.page.locator("#tool pre").first).to_have_text(HOSTILE)
    assert seen.quiet, seen.said


# --- looking for something ---------------------------------------------------------------------------------


def test_search_shows_what_fits_and_nothing_else(viewer: Viewer, large: Path) -> None:
    page = viewer.show(large).page
    packages = page.locator("#package tbody tr")
    every = packages.count()
    assert every > 1000 and shown(packages) == every
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("nvidia cublas")
    expect(page.locator("#found")).to_contain_text("rows with “nvidia cublas”")
    some = shown(packages)
    assert 0 < some < 20
    for row in packages.filter(visible=True).all():
        assert {"nvidia", "cublas"} <= {*re.findall("[a-z]+", row.inner_text().lower())}
    expect(page.locator('[data-count="package"]')).to_have_text(f"{some} of {every:,}")
    expect(page.locator("#build")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#build")).to_be_visible()
    assert shown(packages) == every and page.locator("#found").inner_text() == ""
    page.keyboard.type("no such thing at all")
    expect(page.locator("#found")).to_contain_text("0 rows")


def test_filters_narrow_a_table_and_add_up(viewer: Viewer, large: Path) -> None:
    page = viewer.show(large).page
    rows = page.locator("#finding tbody tr")
    every = rows.count()
    warning, unknown = (page.locator(f'.facet[data-value="{name}"]') for name in ("warning", "unknown"))
    warning.click()
    expect(warning).to_have_attribute("aria-pressed", "true")
    warnings = shown(rows)
    assert 0 < warnings < every and f"warning {warnings}" == " ".join(warning.inner_text().split())
    assert {row.inner_text().split()[0] for row in rows.filter(visible=True).all()} == {"warning"}
    unknown.click()
    assert shown(rows) > warnings, "levels that are pressed add up"
    page.get_by_label("Rule").select_option("left-out")
    assert {row.get_attribute("data-rule") for row in rows.filter(visible=True).all()} == {"left-out"}
    page.get_by_label("Rule").select_option("")
    warning.click()
    unknown.click()
    assert shown(rows) == every


def test_columns_sort_both_ways_numbers_by_what_they_are(viewer: Viewer, large: Path) -> None:
    page = viewer.show(large).page
    head = page.locator("#package th").filter(has_text="MB")

    def sizes() -> list[float]:
        texts = page.locator("#package tbody td:nth-child(4)").all_inner_texts()
        return [float(text.replace(",", "")) for text in texts if text]

    assert head.get_attribute("aria-sort") == "descending" and sizes() == sorted(sizes(), reverse=True)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert sizes() == sorted(sizes())
    name = page.locator("#package th").first
    name.get_by_role("button").click()
    names = page.locator("#package tbody td:first-child").all_inner_texts()
    expect(head).not_to_have_attribute("aria-sort", re.compile("."))
    assert names.index("numpy") < names.index("torch") < names.index("zlib1g")


# --- sizes and time ----------------------------------------------------------------------------------------


def test_the_treemap_goes_deeper_by_click_and_by_keyboard(viewer: Viewer, large: Path) -> None:
    page = viewer.show(large).page
    crumbs, tiles = page.locator("#crumbs"), page.locator("#canvas > .tile")
    expect(crumbs).to_contain_text(LARGEST)
    groups = tiles.count()
    page.get_by_role("button", name=re.compile("^deep learning ")).click()
    expect(crumbs).to_contain_text("deep learning")
    page.get_by_role("button", name=re.compile("^pytorch ")).click()
    expect(crumbs.locator("strong")).to_have_text("pytorch")
    expect(page.locator("#inside tbody")).to_contain_text("torch ")
    page.keyboard.press("Backspace")
    expect(crumbs.locator("strong")).to_have_text("deep learning")
    expect(page.get_by_role("button", name=re.compile("^pytorch "))).to_be_focused()
    page.keyboard.press("Escape")
    assert tiles.count() == groups
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert second and second != first
    page.keyboard.press("Enter")
    expect(crumbs.locator("strong")).to_have_text(re.sub(r" [0-9.]+ .B$", "", str(second)))
    crumbs.get_by_role("button", name=LARGEST).click()
    assert tiles.count() == groups


def test_rectangles_lie_within_the_canvas_and_cover_it(viewer: Viewer, large: Path) -> None:
    for size in (DESKTOP, PHONE):
        page = viewer.show(large, size).page
        tiles = "[...document.querySelectorAll('#canvas, #canvas > .tile')]"
        boxes = page.evaluate(f"{tiles}.map(one => one.getBoundingClientRect().toJSON())")
        canvas, *tiles = boxes
        covered = sum(one["width"] * one["height"] for one in tiles)
        assert 0.97 <= covered / (canvas["width"] * canvas["height"]) <= 1.01
        assert all(one["right"] <= canvas["right"] + 1 and one["bottom"] <= canvas["bottom"] + 1 for one in tiles)


def test_a_built_image_shows_its_build_its_past_and_what_changed(viewer: Viewer, small: Sequence[Path]) -> None:
    page = viewer.show(small[0]).page
    expect(page.locator("h1")).to_have_text("May be shipped")
    bars = page.locator(".timeline .row").filter(has_text="system").locator("i.critical")
    box, room = bars.bounding_box(), page.locator(".timeline .bars").first.bounding_box()
    assert box is not None and room is not None
    assert abs(box["width"] / room["width"] - 0.6) < 0.02, "six of ten seconds"
    expect(page.locator(".chart circle.failed")).to_have_count(2)
    expect(page.locator("section").filter(has=page.locator("#changes"))).to_contain_text("arrays 1.4.0 -> 1.5.0")
    details = page.locator("#tool details").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(details).to_have_attribute("open", "")


def test_the_overview_leads_to_pages(viewer: Viewer, small: Sequence[Path]) -> None:
    page = viewer.show(small[1]).page
    page.get_by_role("link", name="tiny").click()
    expect(page.locator("h1")).to_have_text("May be shipped")
    page.get_by_role("link", name="DSVM").click()
    expect(page.locator("h1")).to_contain_text("1 variant, 1 built here")


def test_the_page_of_an_image_asks_for_nothing(viewer: Viewer, start: Path) -> None:
    seen = viewer.show(start)
    assert seen.quiet
    expect(seen.page.get_by_role("heading", level=1)).to_have_text(LARGEST)
    row = seen.page.locator("tr").filter(has=seen.page.get_by_role("link", name="pytorch", exact=True))
    expect(row).to_contain_text("Tensors and neural networks")
    tools = seen.page.locator("details").first
    tools.locator("summary").focus()
    seen.page.keyboard.press("Enter")
    expect(tools.locator("table")).to_be_hidden()


# --- for everybody -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_barrier(
    viewer: Viewer, large: Path, small: Sequence[Path], start: Path, size: tuple[int, int], scheme: Scheme
) -> None:
    for path in (large, *small, start):
        page = viewer.show(path, size, scheme, for_axe=True).page
        # a thousand rows say no more than a few, and take a minute
        page.evaluate("document.querySelectorAll('tbody tr:nth-child(n+12)').forEach(row => row.remove())")
        page.add_script_tag(path=AXE)
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("tags => axe.run({runOnly: tags})", tags)
        barriers = [(one["id"], one["nodes"][0]["html"], one["nodes"][0]["any"]) for one in found["violations"]]
        assert not barriers
        checked = next(one for one in found["passes"] if one["id"] == "color-contrast")
        assert len(checked["nodes"]) > 20, "contrast was looked at"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction(
    viewer: Viewer, large: Path, small: Sequence[Path], start: Path, scheme: Scheme
) -> None:
    for path in (large, *small, start):
        page = viewer.show(path, PHONE, scheme).page
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_the_keyboard_reaches_everything_and_shows_where_it_is(viewer: Viewer, small: Sequence[Path]) -> None:
    page = viewer.show(small[0]).page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.closest('section')?.getAttribute('aria-labelledby')"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
    assert {"findings", "tools", "sizes", "layers", "changes", "packages"} <= seen


def test_paper_has_the_tables_and_not_what_one_clicks(viewer: Viewer, small: Sequence[Path]) -> None:
    page = viewer.show(small[0], scheme="dark").page
    page.emulate_media(media="print")
    expect(page.get_by_role("searchbox")).to_be_hidden()
    expect(page.locator(".filters").first).to_be_hidden()
    expect(page.locator("#package tbody tr").last).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


# --- opening it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pages", "shown"), [(["a/report.html", "all.html"], 0), (["a.html", "b.html", "all.html"], 2)]
)
def test_a_browser_is_given_the_page_that_was_asked_for(tmp_path: Path, pages: list[str], shown: int) -> None:
    """The only one of a variant, else the overview."""
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    browser.chmod(0o755)
    paths = [str(tmp_path / page) for page in pages]
    code = (
        "import sys; from pathlib import Path; from dsvm.screen import show_pages\n"
        "show_pages([Path(one) for one in sys.argv[1:]], open=True)"
    )
    env = {"PATH": "/usr/bin:/bin", "BROWSER": f"{browser} %s"}
    argv = [sys.executable, "-c", code, *paths]
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == paths and seen.read_text() == Path(paths[shown]).as_uri()
    done = subprocess.run(argv, env={"PATH": "/nowhere"}, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"no browser was found: open {paths[shown]} in one" in " ".join(done.stderr.split())
