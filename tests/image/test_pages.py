"""Every script that the pages of JupyterLab and code-server can load is there, and is served as one.

JupyterLab's server has a page of ours too, which says what is in the image.
"""

from __future__ import annotations

import html
from pathlib import PurePosixPath

from dsvm.checks.planned import Case
from dsvm.model import Plan
from image.editor import routes
from image.harness import Image, fail

# scripts that JupyterLab's page has by itself, and code-server's
LEAST_LAB, LEAST_EDITOR = 200, 30
NOTEBOOK = "notebook"  # a tool that adds a page of its own to the same server


def test_lab_scripts(case: Case, plan: Plan, image: Image) -> None:
    pages = ["/lab", *(["/tree"] if any(tool.name == NOTEBOOK for tool in plan.tools) else [])]
    found = image.probe("lab_scripts.py", str(plan.services[case.tool].port), *pages, timeout=180)
    if found["asked"] < LEAST_LAB:
        fail(f"only {found['asked']} scripts were found, of {found['entries']}")
    _judge(found["asked"], found["wrong"])


def test_start_page(case: Case, plan: Plan, image: Image) -> None:
    found = image.probe("page.py", str(plan.services[case.tool].port), "/dsvm/start")
    absent = [tool.name for tool in plan.tools if f"<td>{html.escape(tool.version)}</td>" not in found["text"]]
    names = [PurePosixPath(tool.notebook.path).name for tool in plan.tools if tool.notebook]
    absent += [name for name in names if f'<a href="notebooks/{name}">' not in found["text"]]
    if found["status"] != 200 or not found["type"].startswith("text/html") or absent:
        fail(f"/dsvm/start: {found['status']}, {found['type']}; not there: {', '.join(absent)}", found["text"])


def test_editor_scripts(case: Case, plan: Plan, image: Image) -> None:
    service = plan.services[case.tool]
    found = image.probe("editor_scripts.py", str(service.port), routes(image, service), timeout=180)
    if found["asked"] < LEAST_EDITOR:
        fail(f"only {found['asked']} scripts were found")
    _judge(found["asked"], found["wrong"])


def _judge(asked: int, wrong: dict[str, str]) -> None:
    if wrong:
        fail(
            f"{len(wrong)} of {asked} scripts are not served:", "\n".join(f"{url} {why}" for url, why in wrong.items())
        )
