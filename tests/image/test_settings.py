"""Services run as the plan says, with its settings and extensions: nothing more, and nothing less."""

from __future__ import annotations

import json
import re
from typing import Any

from dsvm.checks.planned import Case
from dsvm.model import Plan
from image.editor import routes
from image.harness import BASE_PYTHON, CONTAINER, Image, fail

# extensions that JupyterLab has by itself, and code-server
LEAST_LAB, LEAST_EDITOR = 3, 50
# Variables that change what programs of Python and Node.js, Jupyter and code-server do
TELLING = re.compile(r"(JUPYTER|IPYTHON|PYTHON|NODE|VSCODE|CODE_SERVER|CS_|LD_)|(HASHED_)?PASSWORD$")
STARTER = "/usr/local/bin/dsvm-start"
# files by which the plan itself brings extensions of JupyterLab's server and of its pages
SERVER = re.compile(r"/etc/jupyter/jupyter_server_config[.]d/[^/]+[.]json")
LAB = re.compile(r"/usr/local/share/jupyter/labextensions/((?:@[^/]+/)?[^/]+)/package[.]json")
STARTERS = {"JUPYTER_PATH"}  # what it sets by itself: where packages of a user's own are


def test_service_process(case: Case, plan: Plan, image: Image) -> None:
    service = plan.services[case.tool]
    found = image.probe("processes.py", str(service.port), service.token_env)
    if STARTER not in found["by"]:
        fail(f"port {service.port} is that of {' '.join(found['words'])}, which dsvm-start has not started")
    planned = [word.replace("{home}", found["home"]) for word in _options(service.run)]
    said = [
        re.sub(rf"/[^ =]+/{re.escape(case.tool)}[.]key$", "{cookie_key}", word) for word in _options(found["words"])
    ]
    if said != planned:
        fail(f"it is started with {' '.join(said)}, not with {' '.join(planned)}")
    allowed = {*plan.environment, *service.env, *STARTERS, service.token_env}
    if extra := sorted(name for name in set(found["variables"]) - allowed if TELLING.match(name)):
        fail(f"in its environment, but not planned: {', '.join(extra)}")
    if not found["token"]:
        fail(f"its {service.token_env} is another one than the container's token")


def _options(words: Any) -> list[str]:
    """The words from the first option on: what stands before is how the program is found."""
    first = next((number for number, word in enumerate(words) if word.startswith("--")), len(words))
    return list(words[first:])


def test_lab_settings(case: Case, plan: Plan, image: Image) -> None:
    service = plan.services[case.tool]
    sections = [section for section in plan.sections if section.extra.get("env") == case.env]
    packages = sorted({re.sub(r"[-_.]+", "-", pin.name).lower() for section in sections for pin in section.pins})
    words = json.dumps(_options(service.run))
    told = (str(service.port), words, json.dumps(packages), json.dumps(_of_files(plan)))
    found = image.probe("lab_settings.py", *told, python=BASE_PYTHON)
    _judge(found["planned"], LEAST_LAB, found["wrong"])


def _of_files(plan: Plan) -> dict[str, list[str]]:
    """Names of the extensions that files of the plan are."""
    said = [json.loads(file.text or "{}") for path, file in plan.files.items() if SERVER.fullmatch(path)]
    enabled = [name for one in said for name, on in one["ServerApp"]["jpserver_extensions"].items() if on]
    return {"server": enabled, "lab": [found[1] for path in plan.files if (found := LAB.fullmatch(path))]}


def test_editor_settings(case: Case, plan: Plan, image: Image) -> None:
    service = plan.services[case.tool]
    option = next(word for word in service.run if word.startswith("--user-data-dir="))
    data = option.removeprefix("--user-data-dir=").replace("{home}", CONTAINER["HOME"])
    found = image.probe("editor_settings.py", str(service.port), routes(image, service), data)
    _judge(found["found"], LEAST_EDITOR, found["wrong"])


def _judge(count: int, least: int, wrong: dict[str, Any]) -> None:
    if count < least:
        fail(f"only {count} extensions were found")
    if wrong:
        fail("not as planned:", "\n".join(f"{what}: {json.dumps(details)}" for what, details in wrong.items()))
