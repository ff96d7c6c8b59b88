"""Plan -> the checks of its image: there is no second list of tools anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dsvm import ecosystems
from dsvm.ecosystems import BringsClients, Client
from dsvm.model import Check, InputError, Kernel, Plan, Section
from dsvm.plan import image_sections

IMAGE = "image"  # stands for a tool where a check is about the image as a whole
MACHINE = "machine"  # the same where only a machine has it
FIRST, LAST = -1, 1  # turns of checks


# Commands that fetch over a network -> how the suite calls programs of this kind
CLIENTS = {
    **{name: name for name in ("curl", "wget", "git", "julia", "node", "npm", "aws")},
    "Rscript": "r",
    "javac": "java",
}
GREETS = "a terminal says what is here, on one screen"
ASKS = "finds servers by name, and asks only those that it was told to trust"
START_PAGE = "/usr/local/lib/dsvm/dsvm_start_page.py"  # the extension of Jupyter's server that shows it
EDITOR_NODE = "/opt/code-server/lib/node"


@dataclass(frozen=True)
class Case:
    """One check of an image. Function `test_KIND` of the suite does it."""

    kind: str
    tool: str
    name: str
    check: Check | None = None
    kernel: Kernel | None = None
    env: str | None = None
    sections: tuple[str, ...] = ()
    client: Client | None = None
    alone: bool = False
    # it begins when all of a lower turn are done
    turn: int = 0
    # in a machine that has been restarted, when all others are done
    restarted: bool = False

    @property
    def id(self) -> str:
        return f"{self.tool}: {self.name}"


def planned_checks(plan: Plan, only: Sequence[str] = ()) -> tuple[Case, ...]:
    """Everything to be checked, each with an id of its own; only of the tools in `only` when it names any."""
    found = [
        *_of_tools(plan),
        *_of_kernels(plan),
        *_of_services(plan),
        *_of_image(plan),
        *_of_network(plan),
        *_of_machine(plan),
    ]
    cases = list(_number_twins(found))
    known = {case.tool for case in cases}
    if unknown := [name for name in only if name not in known]:
        raise InputError(
            [f"no checks for '{name}' in {plan.variant}" for name in unknown],
            hint=f"There are checks for: {', '.join(sorted(known))}",
        )
    return tuple(case for case in cases if not only or case.tool in only)


def _of_tools(plan: Plan) -> Iterator[Case]:
    for tool in plan.tools:
        if tool.commands:
            yield Case("commands", tool.name, "commands are found and start")
        if tool.notebook:
            yield Case("notebook", tool.name, f"notebook {PurePosixPath(tool.notebook.path).name}")
        for check in tool.checks:
            if check.version is not None:
                package = check.version.package
                name = f"version of {package}" if package else "version"
                yield Case("version", tool.name, name, check, env=tool.env, alone=check.alone)
            elif check.run is not None:
                yield Case("run", tool.name, f"run: {_short(check.run)}", check, env=tool.env, alone=check.alone)
            elif check.script is not None:
                name = check.script.removeprefix("checks/")
                yield Case("script", tool.name, name, check, env=tool.env, alone=check.alone)


def _of_kernels(plan: Plan) -> Iterator[Case]:
    for tool, kernel, env in kernels(plan):
        yield Case("kernel", tool, f"kernel {kernel.name} runs a notebook", kernel=kernel, env=env)


def kernels(plan: Plan) -> tuple[tuple[str, Kernel, str | None], ...]:
    """All Jupyter kernels of the image: tool, kernel, and its environment when it is an ipykernel of one."""
    found = [
        (tool.name, tool.kernel, tool.env if not tool.kernel.argv else None)
        for tool in plan.tools
        if tool.kernel is not None
    ]
    # An ipykernel beside Jupyter itself is a kernel that needs no kernelspec of ours.
    native = any(section.extra.get("env") == "base" and section.pin("ipykernel") for section in plan.sections)
    if native and all(kernel.name != "python3" for _, kernel, _ in found):
        found.append((IMAGE, Kernel(name="python3", display="Python 3"), "base"))
    return tuple(found)


def _of_services(plan: Plan) -> Iterator[Case]:
    for name in plan.services:
        yield Case("service_answers", name, "answers")
        yield Case("service_refuses_no_token", name, "refuses a client without a token")
        yield Case("service_refuses_wrong_token", name, "refuses a wrong token")
        yield Case("service_accepts_token", name, "accepts the right token")
        yield Case("service_another_start", name, "lets in nobody with a token or cookies of another start")
        yield from _of_program(plan, name)


def _of_program(plan: Plan, name: str) -> Iterator[Case]:
    """What is known of the program that a service is."""
    program = plan.services[name].run[0]
    # In a machine it is another user's, whose processes and files are not to be read.
    own = plan.machine is None
    if own and program in ("jupyter", "code-server"):
        yield Case("service_process", name, "runs as the plan says")
    if program == "jupyter":
        env = next(tool.env for tool in plan.tools if tool.name == name)
        yield Case("service_endpoints", name, "refuses strangers at every address", env=env)
        yield Case("lab_scripts", name, "every script of its pages is served")
        yield Case("lab_settings", name, "has the planned settings and extensions", env=env)
        if START_PAGE in plan.files:
            yield Case("start_page", name, "shows the start page")
    elif program == "code-server":
        yield Case("editor_endpoints", name, "refuses strangers at every address")
        yield Case("editor_scripts", name, "every script of its pages is served")
        if own:
            yield Case("editor_settings", name, "has the planned settings and extensions")


def _of_image(plan: Plan) -> Iterator[Case]:
    yield Case("user", IMAGE, "user is ds, not root")
    yield Case("info", IMAGE, "dsvm-info agrees with the plan")
    yield Case("health", IMAGE, "health check passes")
    yield Case("hooks", IMAGE, "nothing unplanned runs when programs start")
    yield Case("shells", IMAGE, "every shell finds the same commands")
    yield Case("greeting", IMAGE, GREETS)
    yield Case("start_command", IMAGE, "dsvm-start runs a command")
    yield Case("start_orphans", IMAGE, "orphans are reaped")
    if plan.services:
        yield Case("start_refusals", IMAGE, "dsvm-start refuses what it cannot do")
        yield Case("start_services", IMAGE, "dsvm-start starts the chosen services, with a token in a file")
        yield Case("start_ends", IMAGE, "dsvm-start ends with its services")
        yield Case("needs_token", IMAGE, "starts nothing without a token")
        yield Case("hidden_token", IMAGE, "token is on no command line")
    # Another check may open a port for itself.
    yield Case("ports", IMAGE, "only the planned services listen", alone=True, turn=FIRST)
    yield Case("ports_again", IMAGE, "nothing else listens when all checks are done", alone=True, turn=LAST)
    if kernels(plan):
        yield Case("kernelspecs", IMAGE, "exactly the planned kernels")
    yield from _of_cuda(plan)
    for sections in places(plan):
        ids = tuple(section.id for section in sections)
        yield Case("installed", IMAGE, f"installed packages: {' and '.join(ids)}", sections=ids)


def _of_network(plan: Plan) -> Iterator[Case]:
    """What fetches over a network; a machine, which may be an emulated one, has the programs of its container."""
    if plan.machine is not None:
        return
    for tool in plan.tools:
        for command in tool.commands:
            if kind := CLIENTS.get(command):
                yield Case("network", tool.name, ASKS, client=Client(kind, "java" if kind == "java" else command))
        if tool.name == "code-server":
            yield Case("network", tool.name, f"its Node.js {ASKS}", client=Client("node", EDITOR_NODE))
        if tool.name == "requests":
            yield Case("network", tool.name, ASKS, client=Client("requests", f"/opt/envs/{tool.env}/bin/python"))
    # one section of an ecosystem stands for all
    seen: set[tuple[str, str]] = set()
    for section in plan.sections:
        ecosystem = ecosystems.get(section.ecosystem)
        for client in ecosystem.clients(section) if isinstance(ecosystem, BringsClients) else ():
            if (section.ecosystem, client.kind) not in seen:
                seen.add((section.ecosystem, client.kind))
                yield Case("network", IMAGE, f"{client.kind} {ASKS}", client=client)


def _of_cuda(plan: Plan) -> Iterator[Case]:
    """A CPU image has nothing of CUDA, and a GPU image no environment with two of them."""
    if plan.accelerator == "cpu":
        yield Case("no_cuda", IMAGE, "no CUDA library")
        return
    for section in plan.sections:
        if section.id.startswith("env-") and any(pin.name.startswith("nvidia-") for pin in section.pins):
            env = str(section.extra["env"])
            yield Case("one_cuda", IMAGE, f"one CUDA in environment {env}, and it loads", env=env)


def _of_machine(plan: Plan) -> Iterator[Case]:
    """What only a booted machine can show."""
    if plan.machine is None:
        return
    yield Case("machine_up", MACHINE, "reaches its login target, no unit failed")
    yield Case("machine_users", MACHINE, "user and key of the seed, and only these")
    yield Case("machine_disk", MACHINE, "root has grown to the disk's size")
    yield Case("machine_time", MACHINE, "keeps its time synchronised")
    yield Case("machine_firewall", MACHINE, "firewall lets in SSH and nothing else", alone=True)
    yield Case("machine_clean", MACHINE, "nothing of the build is left")
    yield Case("machine_kernel", MACHINE, "modules of the kernel that runs are whole")
    yield Case("machine_restart", MACHINE, "is up again after a restart, no unit failed", restarted=True)
    if plan.services:
        yield Case("machine_services", MACHINE, "services are up again after a restart", restarted=True)


def places(plan: Plan) -> tuple[tuple[Section, ...], ...]:
    """The sections in the image, those together whose packages lie in one place and can only be listed as one."""
    found: dict[tuple[str, ...], list[Section]] = {}
    for section in image_sections(plan):
        shared = ecosystems.get(section.ecosystem).placement == "system"
        found.setdefault((section.ecosystem,) if shared else (section.ecosystem, section.id), []).append(section)
    return tuple(map(tuple, found.values()))


def _short(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _number_twins(cases: Sequence[Case]) -> Iterator[Case]:
    """Give the second of two checks with one name a number, so that every result has one check."""
    seen: Counter[str] = Counter()
    for case in cases:
        seen[case.id] += 1
        number = seen[case.id]
        yield case if number == 1 else Case(**{**vars(case), "name": f"{case.name} ({number})"})
