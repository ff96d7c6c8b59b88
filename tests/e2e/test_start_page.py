"""What people see first in a real image, JupyterLab's start page and a terminal, and images in which it is broken."""

from __future__ import annotations

import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect, sync_playwright
from workbench import ROOT, Done, Invoke, Silent, broken_image, docker

from dsvm.checks.planned import GREETS
from dsvm.container.verification import verify
from dsvm.host import find_engine
from dsvm.model import Plan

VARIANT = "cpu-minimal"
EXTENSION = "/usr/local/share/jupyter/labextensions/dsvm-start-page"
SERVER = "/usr/local/lib/dsvm/dsvm_start_page.py"
NOTEBOOK = "/usr/local/share/dsvm/notebooks/first-steps.ipynb"
SETTINGS = "has the planned settings and extensions"
Failed = Callable[..., set[str]]
CHROMIUM = shutil.which("chromium") or ""


@pytest.fixture(scope="module")
def built(invoke: Invoke) -> Done:
    return invoke("build", "--variant", VARIANT, "--update-stale").passed()


@pytest.fixture(scope="module")
def url(built: Done, invoke: Invoke) -> Iterator[str]:
    """Where JupyterLab is, with the token."""
    started = invoke("start", "--variant", VARIANT).passed()
    try:
        yield re.findall(r"^  jupyterlab +(http://\S+)", started.out, re.MULTILINE)[0]
    finally:
        invoke("stop", "--variant", VARIANT, "--forget")


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-proxy-server"])
        yield program.new_context(viewport={"width": 1280, "height": 760})
        program.close()


def test_the_launcher_opens_the_page(url: str, browser: BrowserContext) -> None:
    lab = browser.new_page()
    lab.goto(url)
    card = lab.locator(".jp-LauncherCard", has_text="Start Page")
    expect(card).to_be_visible(timeout=60_000)
    with browser.expect_page() as opened:
        card.click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text(VARIANT)
    expect(opened.value.get_by_role("cell", name="dsvm-python base")).to_be_visible()
    lab.get_by_role("menuitem", name="Help").click()
    expect(lab.get_by_role("menuitem", name="Start Page")).to_be_visible()


def test_a_sample_notebook_opens_as_a_copy_of_ones_own(url: str, browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto(url)
    for said in ("First steps", "mine"):
        page.goto(urllib.parse.urljoin(url, "/dsvm/start"))
        page.get_by_role("link", name="First steps").click()
        expect(page.get_by_role("heading", name=said)).to_be_visible(timeout=60_000)
        assert urllib.parse.urlsplit(page.url).path.endswith("/tree/samples/first-steps.ipynb")
        # what its reader has written stays
        docker("exec", f"dsvm-{VARIANT}", "sed", "-i", "s/First steps/mine/", "samples/first-steps.ipynb")


def test_who_has_no_token_is_asked_for_it(url: str, browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto(urllib.parse.urljoin(url, "/dsvm/start"))
    assert urllib.parse.urlsplit(page.url).path == "/login"


def ids(name: str, folder: Path, tool: str = "jupyterlab") -> set[str]:
    """The checks of a tool, or of `image`, that an image fails."""
    plan = Plan.model_validate_json((ROOT / "build" / VARIANT / "plan.json").read_bytes())
    report = verify(plan, name, engine=find_engine(), folder=folder, only=[tool], view=Silent())
    return {result.check for result in report.results if result.outcome == "failed"}


@pytest.fixture
def failed(built: Done, tmp_path: Path) -> Iterator[Failed]:
    """Breaks the image by a shell script and verifies it; the checks of a tool, or of `image`, that failed."""
    tag = "dsvm-e2e/start-page:latest"

    def spoiled(script: str, tool: str = "jupyterlab") -> set[str]:
        broken_image(tag, f"dsvm/{VARIANT}:latest", tmp_path, script)
        return ids(tag, tmp_path, tool)

    yield spoiled
    docker("image", "rm", "--force", tag)


def test_nothing_fails_in_the_image_as_it_is(built: Done, tmp_path: Path) -> None:
    assert ids(f"dsvm/{VARIANT}:latest", tmp_path) == set()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            f"sed -i 's/finish(page)/finish(page[:500])/; /authenticated/d' {SERVER}",
            {"shows the start page", "refuses strangers at every address"},
            id="half of it, and for everybody",
        ),
        pytest.param(
            f"rm /etc/jupyter/jupyter_server_config.d/dsvm.json; : > {EXTENSION}/static/start-page.js",
            {"shows the start page", SETTINGS, "every script of its pages is served"},
            id="not enabled, and no script",
        ),
        pytest.param(
            f"rm -r {EXTENSION}; sed -i 's/sum(groups.values())/-1/' {NOTEBOOK}",
            {SETTINGS, "notebook first-steps.ipynb"},
            id="not in the launcher, and a notebook that fails",
        ),
    ],
)
def test_what_is_broken_is_found(failed: Failed, script: str, expected: set[str]) -> None:
    assert failed(script) == expected


def test_a_greeting_that_says_too_much_and_too_often(failed: Failed) -> None:
    script = r"""
    sed -i 's/    yield ""/    yield from [""] * 30/' /usr/local/lib/dsvm/greeting.py
    sed -i 's/ && . ! -e ~.[.]hushlogin .;/;/' /etc/profile.d/dsvm.sh
    ! grep hushlogin /etc/profile.d/dsvm.sh
    """
    assert failed(script, "image") == {GREETS}
