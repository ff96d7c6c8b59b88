"""The image as a container without a network: started, given the check scripts, and looked at from outside."""

from __future__ import annotations

import io
import secrets
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from dsvm import ledger
from dsvm.catalog import MANIFESTS
from dsvm.checks import (
    IMAGE,
    SCRIPTS_INSIDE,
    SETTINGS,
    STOPS,
    SURVIVES,
    accounted,
    check_of,
    make_report,
    planned_checks,
    run_suite,
    staged_scripts,
    write_report,
)
from dsvm.container import containers, images
from dsvm.host import Engine, claims, engine_faults, gpu_requests, listed, tail
from dsvm.model import CheckResult, EngineError, Outcome, Plan, Report, VerifyError
from dsvm.plan import SERVICES_ANSWER
from dsvm.session import CheckView, Silent
from dsvm.store import Store

# Labels of a container in which an image is verified: its variant, and whose claims its run has
MARK, OWNER = "dsvm.verify", "dsvm.owner"
START_TIMEOUT = 180.0  # seconds until every service must answer
STOP_GRACE = 10  # seconds that `docker stop` leaves
KILLED = "did not end in"  # what dsvm-start says of services that it had to kill


def forget_killed(variant: str, engine: Engine) -> list[str]:
    """Remove the containers in which runs of ours that were killed verified `variant`; returns their names.

    Only whoever has the claim on the variant may call it: no other run of ours verifies it meanwhile.
    """
    marks = [f"{MARK}={variant}", f"{OWNER}={claims.owner()}"]
    found = listed("containers", lambda: engine.client.api.containers(all=True, filters={"label": marks}))
    names = [str(name).removeprefix("/") for one in found for name in one["Names"][:1]]
    for name in names:
        containers.remove(name, engine)
    return names


@contextmanager
def started(image: str, token: str, engine: Engine, *, variant: str, serves: bool, gpu: bool) -> Iterator[str]:
    """A running container of `image`, by name; it is gone afterwards, whatever happens: see `forget_killed`.

    An image that serves nothing is kept running by a command that does nothing.
    """
    name = f"dsvm-verify-{secrets.token_hex(6)}"
    try:
        containers.start(
            image,
            engine,
            name=name,
            command=[] if serves else ["sleep", "infinity"],
            labels={MARK: variant, OWNER: claims.owner()},
            network_mode="none",
            dns=["127.0.0.1"],  # checks have a server of names there
            shm_size="1g",
            healthcheck={"test": ["NONE"]},
            device_requests=gpu_requests(engine) if gpu else [],
            environment={"DSVM_TOKEN": token},
        )
    except EngineError as error:
        raise VerifyError(f"{image} cannot be verified: {error.message}", hint=error.hint) from error
    try:
        yield name
    finally:
        with suppress(EngineError):  # whatever ended the block says more, and the next run removes it
            containers.remove(name, engine)


def copy_scripts(scripts: Path, container: str, engine: Engine) -> None:
    """Put the folder `scripts` into a container, as root's. Raises VerifyError where the image has something there."""
    from docker.errors import NotFound

    place = PurePosixPath(SCRIPTS_INSIDE)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(scripts, place.name, filter=_owned_by_root)
    with engine_faults(f"copying checks into {container}"):
        inside = engine.client.containers.get(container)
        try:
            inside.get_archive(str(place))
        except NotFound:
            inside.put_archive(str(place.parent), packed.getvalue())
            return
    raise VerifyError(
        f"the image has something at {place}, where its checks would be put",
        hint="Nothing that builds an image has any business there: look at its stages",
    )


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def wait_until_healthy(container: str, engine: Engine, *, serves: bool) -> None:
    """Wait until every service answers; one that serves nothing has only to run.

    Asks by itself, as the image's own health check comes too seldom.
    """
    question = SERVICES_ANSWER if serves else "dsvm-start --health"
    end = time.monotonic() + START_TIMEOUT
    while True:
        state = containers.state(container, engine)
        if state is None or not state["Running"]:
            ending = f"with exit code {state['ExitCode']}" if state is not None else "and is gone,"
            raise VerifyError(
                f"the image ended {ending} instead of serving:\n{_end_of_log(container, engine) if state else ''}",
                hint="See what it says: docker run --rm -e DSVM_TOKEN IMAGE",
            )
        code, said = containers.ask(container, engine, ["/bin/sh", "-c", question])
        if code == 0:
            return
        if time.monotonic() > end:
            raise VerifyError(
                f"the image is not healthy after {START_TIMEOUT:.0f} s: {said.strip()}\n"
                + _end_of_log(container, engine)
            )
        time.sleep(0.3)


def check_survival(container: str, engine: Engine, results: Sequence[CheckResult], *, serves: bool) -> CheckResult:
    """Whether the image still serves when all its checks are done; what died, and when, where it does not."""
    began = time.monotonic()
    state = containers.state(container, engine)
    said = ""
    if state is None or not state["Running"]:
        ending = f"ended with exit code {state['ExitCode']}" if state is not None else "is gone"
        said = f"the container {ending}"
    elif serves:
        code, answer = containers.ask(container, engine, ["/bin/sh", "-c", SERVICES_ANSWER])
        said = answer.strip() or f"the services do not answer (exit code {code})" if code != 0 else ""
    if said:
        last = next((one for one in reversed(results) if one.outcome == "passed"), None)
        said += f"; the last check that passed: {last.tool}: {last.check}" if last is not None else ""
        said += f"\n{_end_of_log(container, engine, lines=8)}" if state is not None else ""
    return CheckResult(
        tool=IMAGE,
        check=SURVIVES,
        outcome="failed" if said else "passed",
        seconds=round(time.monotonic() - began, 3),
        output=said,
    )


def check_stop(container: str, engine: Engine, *, serves: bool) -> CheckResult:
    """Whether the image, told to stop as `docker stop` does, ends its services by itself and in time, and says so."""
    began = time.monotonic()
    containers.end(container, engine, grace=STOP_GRACE)
    seconds = round(time.monotonic() - began, 3)
    state = containers.state(container, engine)
    code = state["ExitCode"] if state is not None else None
    # that of a command which knows nothing of signals is 128 + SIGTERM
    wanted = 0 if serves else 143
    log = _end_of_log(container, engine, lines=8) if state is not None else ""
    said = ""
    if code != wanted:
        said = f"told to stop, it ended with exit code {code}, not {wanted}, after {seconds:.1f} s\n{log}"
    elif KILLED in log:
        said = f"told to stop, it had to kill services:\n{log}"
    outcome: Outcome = "failed" if said else "passed"
    return CheckResult(tool=IMAGE, check=STOPS, outcome=outcome, seconds=seconds, output=said)


def _end_of_log(container: str, engine: Engine, lines: int = 25) -> str:
    return tail(containers.log(container, engine), lines=lines)


def _looked_at(
    plan: Plan, image: Mapping[str, Any], engine: Engine, folder: Path, store: Store | None, view: CheckView
) -> list[CheckResult]:
    """What is checked of an image before it starts."""
    begun = time.monotonic()
    if store is None:
        return [check_of(SETTINGS, [*ledger.other_settings(plan, image["Config"])])]
    view.step("Accounting for every file")
    found = ledger.account(str(image["Id"]), plan, store, engine, layers=ledger.recorded(folder, plan), echo=view.step)
    return [*accounted(found, time.monotonic() - begun)]


def verify(
    plan: Plan,
    image: str,
    *,
    engine: Engine,
    folder: Path,
    store: Store | None = None,
    only: Sequence[str] = (),
    manifests: Sequence[Path] = (MANIFESTS,),
    workers: int | None = None,
    view: CheckView | None = None,
) -> Report:
    """Start `image` with networking off, run every planned check in it and remove it again.

    `manifests` where check scripts are (later folders win), `only` limits to some tools; with `store` every file of the
    image is accounted for by the artefacts there. Writes its report and verify.log in `folder`. A failed check is in
    the report; VerifyError means that the verification itself failed: the image does not start, the suite breaks off,
    a check has no result.
    """
    cases = planned_checks(plan, only)
    view = view or Silent().checks()
    folder.mkdir(parents=True, exist_ok=True)
    settings = images.inspect(image, engine)
    if settings is None:
        hint = f"Run: invoke build --variant {plan.variant}"
        raise VerifyError(f"the engine has no image {image}", hint=hint)
    token = secrets.token_urlsafe(24)
    results = _looked_at(plan, settings, engine, folder, store, view) if not only or IMAGE in only else []
    view.step(f"Starting {image}")
    serves = bool(plan.services)
    gpu = plan.accelerator == "gpu"
    with started(image, token, engine, variant=plan.variant, serves=serves, gpu=gpu) as container:
        with staged_scripts(cases, manifests) as scripts:
            copy_scripts(scripts, container, engine)
        wait_until_healthy(container, engine, serves=serves)
        whole = not only or IMAGE in only
        view.begin(len(cases) + len(results) + 2 * whole)
        try:
            for result in results:
                view.result(result)
            results += run_suite(
                cases,
                plan,
                [f"--hosts=docker://{container}"],
                {**engine.env, "DSVM_TOKEN": token},
                log=folder / "verify.log",
                workers=workers,
                view=view,
            )
            survived = check_survival(container, engine, results, serves=serves)
            if whole or survived.outcome == "failed":
                view.result(survived)
                results.append(survived)
            state = containers.state(container, engine)
            if whole and state is not None and state["Running"]:
                stopped = check_stop(container, engine, serves=serves)
                view.result(stopped)
                results.append(stopped)
        finally:
            view.end()
    report = make_report(plan, settings["Id"], results)
    write_report(folder, report, only)
    return report
