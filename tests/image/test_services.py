"""Every service answers those who know the token, and nobody else."""

from __future__ import annotations

from typing import Any

from dsvm.checks import Case
from dsvm.model import Plan
from image.harness import Image, fail

SSH = 22


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


def test_needs_token(case: Case, image: Image) -> None:
    done = image.shell("env --unset=DSVM_TOKEN --unset=DSVM_TOKEN_FILE dsvm-start", timeout=10)
    if done.code != 2 or "DSVM_TOKEN" not in done.output:
        fail(f"without a token dsvm-start ends with exit code {done.code}, not 2, or does not say why:", done.output)


def test_hidden_token(case: Case, image: Image) -> None:
    shown = image.probe("command_lines.py")
    if shown:
        fail(f"everybody can read the token in the command line of: {', '.join(shown)}")


def test_ports(case: Case, plan: Plan, image: Image) -> None:
    planned = {service.port for service in plan.services.values()} | ({SSH} if plan.machine else set())
    open_ports = set(image.probe("ports.py"))
    if extra := open_ports - planned:
        fail(f"open to the network, but of no planned service: {sorted(extra)}")
    if missing := planned - open_ports:
        fail(f"not open to the network: {sorted(missing)}")


def test_health(case: Case, image: Image) -> None:
    image.run(["/usr/local/bin/dsvm-start", "--health"]).expect_success()
