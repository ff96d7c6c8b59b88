"""Every service answers those who know the token, and nobody else."""

from __future__ import annotations

from typing import Any

from dsvm.checks.planned import Case
from dsvm.model import Plan
from image.editor import routes
from image.harness import Image, fail, source

SSH = 22
# addresses that Jupyter Server has by itself, that code-server has, and that VS Code's server within it has
LEAST, LEAST_EDITOR, LEAST_INNER = 40, 30, 10


def _ask(case: Case, plan: Plan, image: Image, who: str) -> Any:
    service = plan.services[case.tool]
    path = service.health if who == "health" else service.protected
    return image.probe("client.py", str(service.port), path, service.login, who)


# what the paths of pages that ask for a password are called
LOGIN = ("login", "sign-in")


def _refused(answer: Any) -> bool:
    elsewhere = any(word in answer["location"] for word in LOGIN)
    return answer["status"] in (401, 403) or (300 <= answer["status"] < 400 and elsewhere)


def test_service_answers(case: Case, plan: Plan, image: Image) -> None:
    answer = _ask(case, plan, image, "health")
    if not 200 <= answer["status"] < 400:
        fail(f"{plan.services[case.tool].health} answers {answer}")


def test_service_refuses_no_token(case: Case, plan: Plan, image: Image) -> None:
    answer = _ask(case, plan, image, "nobody")
    if not _refused(answer):
        fail(f"{plan.services[case.tool].protected} answers a client without a token: {answer}")


def test_service_refuses_wrong_token(case: Case, plan: Plan, image: Image) -> None:
    answer = _ask(case, plan, image, "stranger")
    if not _refused(answer):
        fail(f"{plan.services[case.tool].protected} answers a client with a wrong token: {answer}")


def test_service_accepts_token(case: Case, plan: Plan, image: Image) -> None:
    answer = _ask(case, plan, image, "owner")
    if answer["status"] != 200 or any(word in answer["path"] for word in LOGIN):
        fail(f"{plan.services[case.tool].protected} does not let in a client with the right token: {answer}")


def test_service_another_start(case: Case, plan: Plan, image: Image) -> None:
    service = plan.services[case.tool]
    found = image.probe("another_start.py", case.tool, service.model_dump_json(), source("client.py"), timeout=180)
    if (service.login != "token" or service.run[0] == "jupyter") and "cookies at this start" not in found:
        fail(f"{case.tool} gives a client with the right token no cookie, so this check saw none: {found}")
    for who in ("its token", "cookies at this start"):
        answer = found.pop(who, None)
        if answer is not None and (_refused(answer) or not 200 <= answer["status"] < 400):
            fail(f"started once more, {case.tool} does not let in a client with {who}: {answer}")
    if opened := [who for who, answer in found.items() if not _refused(answer)]:
        fail(f"started once more with another token, {case.tool} lets in a client with {' and with '.join(opened)}")


def test_service_endpoints(case: Case, plan: Plan, image: Image) -> None:
    port = str(plan.services[case.tool].port)
    found = image.probe("endpoints.py", port, python=f"/opt/envs/{case.env}/bin/python", timeout=180)
    if found["asked"] < LEAST:
        fail(f"only {found['asked']} addresses were found: the application was not loaded whole")
    if open_ones := found["open"]:
        shown = "\n".join(f"{name}: {status}" for name, status in sorted(open_ones.items()))
        fail(f"{len(open_ones)} of {found['asked']} addresses let in whom they should not:", shown)


def test_editor_endpoints(case: Case, plan: Plan, image: Image) -> None:
    service = plan.services[case.tool]
    found = image.probe("editor_endpoints.py", str(service.port), routes(image, service), timeout=180)
    if found["asked"] < LEAST_EDITOR or found["inner"] < LEAST_INNER:
        fail(f"only {found['asked']} addresses were found: the application was not loaded whole")
    if found["closed"]:
        fail(f"its own user's browser is refused: {', '.join(found['closed'])}")
    if open_ones := found["open"]:
        shown = "\n".join(f"{name}: {status}" for name, status in sorted(open_ones.items()))
        fail(f"{len(open_ones)} answers let in whom they should not:", shown)


def test_needs_token(case: Case, image: Image) -> None:
    done = image.shell("env --unset=DSVM_TOKEN --unset=DSVM_TOKEN_FILE dsvm-start", timeout=10)
    if done.code != 2 or "DSVM_TOKEN" not in done.output:
        fail(f"without a token dsvm-start ends with exit code {done.code}, not 2, or does not say why:", done.output)


def test_hidden_token(case: Case, image: Image) -> None:
    shown = image.probe("command_lines.py")
    if shown:
        fail(f"everybody can read the token in the command line of: {', '.join(shown)}")


def test_ports(case: Case, plan: Plan, image: Image) -> None:
    _compare_ports(plan, image)


def test_ports_again(case: Case, plan: Plan, image: Image) -> None:
    _compare_ports(plan, image)


def _compare_ports(plan: Plan, image: Image) -> None:
    """In a container nothing listens but its services; a machine's system does, on loopback and for an address."""
    planned = {("tcp", service.port) for service in plan.services.values()}
    if plan.machine:
        planned.add(("tcp", SSH))
    found = {(protocol, port, inside) for protocol, port, inside in image.probe("ports.py")}
    considered = {one for one in found if not plan.machine or (one[0] == "tcp" and not one[2])}
    if extra := sorted(one for one in considered if one[:2] not in planned):
        shown = ", ".join(f"{port}/{protocol}{' on loopback' if inside else ''}" for protocol, port, inside in extra)
        fail(f"listens, but is of no planned service: {shown}")
    if missing := planned - {one[:2] for one in found if not one[2]}:
        fail(f"not open to the network: {', '.join(f'{port}/{protocol}' for protocol, port in sorted(missing))}")


def test_health(case: Case, image: Image) -> None:
    image.run(["/usr/local/bin/dsvm-start", "--health"]).expect_success()
