"""The rules: functions from a scene to findings. A rule's docstring is what people read about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dsvm.gate.cuda import agree, cuda_version, say_cuda
from dsvm.gate.parts import Part
from dsvm.gate.scene import Scene
from dsvm.gate.tables import has_python, offered_by
from dsvm.gate.words import listed, some_of
from dsvm.model import Compat, EndRow, GateLevel, GpuRow, ModulesRow, Row

# packages with the compiler
_COMPILER = re.compile(r"\bcuda-(?:toolkit|nvcc|compiler)\b")

SMALL = 100_000_000  # bytes of an image that nobody is warned of


@dataclass(frozen=True)
class Finding:
    """What one rule found on one thing. `why` names the row with its source, `remedy` what to do."""

    rule: str
    level: GateLevel
    what: str
    why: str = ""
    remedy: str = ""


Rule = Callable[[Scene], Iterator[Finding]]


def python(scene: Scene) -> Iterator[Finding]:
    """The base's Python is one that each framework has builds for"""
    for part in scene.parts:
        if part.package is None or part.python is None:
            continue
        fits = [row for row in part.rows if has_python(row, part.python)]
        wanted = " or ".join(dict.fromkeys(f"Python {row.python}" for row in fits or part.rows if row.python))
        if fits:
            what = f"{part.name} needs {wanted or 'no certain Python'}, and there is {part.python}"
            yield Finding("python", "ok", what, scene.cite(*fits))
        elif None in part.spoken:
            yield Finding("python", "not_checked", f"{part.name}: no row for all versions that this allows")
        else:
            earlier = [
                row
                for row in scene.compat.frameworks
                if canonicalize_name(row.package) == part.package and has_python(row, part.python)
            ]
            older = f", or a version for this one: {part.package} {earlier[-1].since}" if earlier else ""
            yield Finding(
                "python",
                "error",
                f"{part.name} needs {wanted}, and base '{scene.base.base}' has {part.python}",
                scene.cite(*part.rows),
                f"take a base with such a Python{older}",
            )


def framework_cuda(scene: Scene) -> Iterator[Finding]:
    """A framework is built for the CUDA that its tool promises, or that lies beside it in the lock"""
    for part in scene.parts if scene.gpu else ():
        offers = offered_by(part.usable, None)
        if part.cuda is None:
            yield Finding("framework-cuda", "not_checked", f"{part.name}: nothing tells which CUDA it carries")
        if not part.cuda or part.package is None or (part.newest_known and not offers):
            continue
        says = "has" if scene.locked else "promises"
        what = f"{part.name} {says} {say_cuda(part.cuda)}, and is built for {say_cuda(offers)}"
        if any(agree(one, other) for one in part.cuda for other in offers):
            yield Finding("framework-cuda", "ok", what, scene.cite(*part.usable))
        elif not part.newest_known:
            yield Finding("framework-cuda", "not_checked", f"{part.name}: no row for the newest that this allows")
        else:
            # within a major version the libraries are compatible; some packages ask for their own all the same
            alike = {one[0] for one in part.cuda} & {other[0] for other in offers}
            exact = all(row.exact for row in part.usable)
            yield Finding(
                "framework-cuda",
                "warning" if alike and not exact else "error",
                what,
                scene.cite(*part.usable),
                f"narrow what brings {say_cuda(part.cuda)} beside it to versions for {say_cuda(offers)}"
                if exact
                else f"give it {say_cuda(offers)}: cuda: of its tool, and env: where others need another one",
            )


def one_cuda(scene: Scene) -> Iterator[Finding]:
    """An environment holds the libraries of one CUDA major version"""
    places = [*(part.place for part in scene.parts if part.place != "system"), *scene.marks]
    for place in dict.fromkeys(places) if scene.gpu else ():
        members = [part for part in scene.parts if part.place == place and part.cuda]
        found = scene.marks.get(place, {})
        if found:
            majors = sorted({cuda[0] for cuda in found.values()})
            if len(majors) == 1:
                yield Finding("one-cuda", "ok", f"{place}: CUDA {majors[0]}, by {len(found)} of its packages")
            else:
                held = "; ".join(
                    f"CUDA {major} by {some_of(name for name, cuda in found.items() if cuda[0] == major)}"
                    for major in majors
                )
                yield Finding("one-cuda", "error", f"{place} holds {held}", *_apart(scene, members))
        elif members:
            common = set.intersection(*({one[0] for one in part.cuda or ()} for part in members))
            what = f"{place}: " + ", ".join(f"{part.name} carries {say_cuda(part.cuda or ())}" for part in members)
            if common:
                yield Finding("one-cuda", "ok", what)
            else:
                yield Finding("one-cuda", "error", what, *_apart(scene, members))


def _apart(scene: Scene, members: Sequence[Part]) -> tuple[str, str]:
    rows = [row for part in members for row in part.usable]
    why = "; ".join(
        ["libraries of one name from two CUDA versions replace each other", *filter(None, [scene.cite(*rows)])]
    )
    tools = listed(part.tool for part in members)
    return why, f"give {tools} environments of their own (env: of a tool), or builds for one CUDA"


def shared_cuda(scene: Scene) -> Iterator[Finding]:
    """Environments have the same CUDA libraries, which an image then has once"""
    if not scene.gpu or not scene.locked:
        return
    if not scene.libraries:
        yield Finding("shared-cuda", "ok", "no library of CUDA lies in the image in several versions")
        return
    sizes = [[size for size, _ in versions.values()] for versions in scene.libraries.values()]
    more = sum(sum(one) - max(one) for one in sizes)
    held = "; ".join(
        f"{name} " + ", ".join(f"{version} in {some_of(places)}" for version, (_, places) in versions.items())
        for name, versions in scene.libraries.items()
    )
    own = dict.fromkeys(
        f"{tool} asks for {name} by name" for (_, name), tool in scene.named.items() if name in scene.libraries
    )
    yield Finding(
        "shared-cuda",
        "ok" if more < SMALL else "warning",
        f"libraries of CUDA in several versions, {more / 1e6:.0f} MB more than one of each: {held}",
        "; ".join((*own, "what holds the others, locking anew says")),
        "" if more < SMALL else "ask for versions that go together; or leave it: each environment has its own",
    )


def promise(scene: Scene) -> Iterator[Finding]:
    """What is locked carries the CUDA that its tool promises"""
    for part in scene.parts if scene.gpu and scene.locked else ():
        if part.promised is None or part.place == "system":
            continue
        own = scene.marks.get(part.place, {})
        present = part.cuda if part.package and part.cuda else frozenset(own.values())
        remedy = f"correct cuda: of '{part.tool}', or the versions and the index of its source"
        text = say_cuda({part.promised})
        if not present and part.package and part.cuda is not None:
            yield Finding("promise", "error", f"{part.name} promises {text} and carries none", "the lock", remedy)
        elif not present:
            yield Finding("promise", "not_checked", f"{part.name} promises {text}; no package beside it tells its CUDA")
        elif any(agree(part.promised, one) for one in present):
            yield Finding("promise", "ok", f"{part.name} promises {text} and carries {say_cuda(present)}")
        else:
            level: GateLevel = "warning" if part.promised[0] in {one[0] for one in present} else "error"
            yield Finding(
                "promise", level, f"{part.name} promises {text} and carries {say_cuda(present)}", "the lock", remedy
            )


def cudnn(scene: Scene) -> Iterator[Finding]:
    """An environment's cuDNN is one that its frameworks accept"""
    for part in scene.parts if scene.gpu else ():
        wanted = [row for row in part.usable if row.cudnn]
        for name, versions in scene.cudnn.get(part.place, {}).items() if wanted and part.cuda != frozenset() else ():
            text = f"{part.name}: cuDNN {listed(row.cudnn for row in wanted)}; {name} is {versions or 'of any version'}"
            if any(not versions.is_disjoint(SpecifierSet(row.cudnn)) for row in wanted):
                yield Finding("cudnn", "ok", text, scene.cite(*wanted))
            else:
                remedy = f"ask for {name} {wanted[-1].cudnn}, or give {part.tool} an environment of its own"
                yield Finding("cudnn", "error", text, scene.cite(*wanted), remedy)


def driver(scene: Scene) -> Iterator[Finding]:
    """The driver branch, of the machines or in the image, is not below the floor of each CUDA major version"""
    floors = {row.cuda: row for row in scene.compat.cuda}
    users = [part for part in scene.parts if part.cuda] if scene.gpu else []
    if users and not scene.drivers:
        lowest = max(
            min((floors[one[0]].driver for one in part.cuda or () if one[0] in floors), default=0) for part in users
        )
        needs = f"; this image needs {lowest} or newer" if lowest else ""
        yield Finding("driver", "not_checked", f"no driver is named (driver: of the variant, or --driver){needs}")
        return
    groups: dict[int, list[Part]] = {}
    for part in users:
        known = [one[0] for one in part.cuda or () if one[0] in floors]
        if known:
            groups.setdefault(min(known, key=lambda major: floors[major].driver), []).append(part)
        else:
            yield Finding("driver", "not_checked", f"{part.name}: no row for {say_cuda(part.cuda or ())}")
    for major, branch in ((major, branch) for major in groups for branch in scene.drivers):
        row = floors[major]
        enough = branch >= row.driver
        who = ", ".join(dict.fromkeys(f"{part.tool} with {say_cuda(part.cuda or ())}" for part in groups[major]))
        reach = [one.cuda for one in scene.compat.cuda if one.driver <= branch]
        older = f", or take builds for CUDA {max(reach)}" if reach else ""
        newer = "on the machines" if branch == scene.driver else "in the image, from another source of its tool"
        yield Finding(
            "driver",
            "ok" if enough else "error",
            f"CUDA {major} needs driver {row.driver} or newer, and {scene.drivers[branch]} {branch}: {who}",
            scene.cite(row),
            "" if enough else f"install driver {row.driver} {newer}{older}",
        )


def one_driver(scene: Scene) -> Iterator[Finding]:
    """What the image has of the driver is of the branch that is promised, and of one version"""
    for one in scene.bundled:
        if one.version is not None:
            yield Finding(
                "one-driver",
                "ok" if one.branch == one.promised else "error",
                f"{one.tool} promises driver {one.promised} and is {one.version}",
                "the lock",
                "" if one.branch == one.promised else f"correct driver: of '{one.tool}', or the packages of its source",
            )
    versions = dict.fromkeys(one.version or str(one.branch) for one in scene.bundled)
    if len(scene.bundled) > 1:
        alike = len(versions) == 1
        what = ", ".join(f"{one.tool} is {one.version or one.branch}" for one in scene.bundled)
        yield Finding(
            "one-driver",
            "ok" if alike else "error",
            what,
            "" if alike else "the kernel's modules work with programs of their own version alone",
            "" if alike else f"take {listed(one.tool for one in scene.bundled)} from one repository",
        )


def gpu_architecture(scene: Scene) -> Iterator[Finding]:
    """Each GPU's architecture is one that the builds carry, or else that their CUDA compiles for"""
    users = [part for part in scene.parts if part.cuda] if scene.gpu else []
    if users and not scene.gpus:
        yield Finding("gpu-architecture", "not_checked", "no GPU is named (gpus: of the variant, or --gpu)")
    floors = {row.cuda: row for row in scene.compat.cuda}
    for part in users if scene.gpus else ():
        builds = [row for row in scene.compat.builds if canonicalize_name(row.package) == part.package]
        lacking: list[GpuRow] = []
        late: list[GpuRow] = []
        rows: dict[Row, str] = {}
        for gpu in scene.gpus:
            verdicts = []
            for cuda in sorted(part.cuda or ()):
                exact = [row for row in builds if agree(cuda_version(row.cuda), cuda)]
                for build in exact:
                    rows[build] = f"{part.package} for CUDA {build.cuda} carries sm_{build.sm[0]} to sm_{build.sm[1]}"
                    verdicts.append("ok" if build.sm[0] <= gpu.sm <= build.sm[1] else "error")
                if not exact and (floor := floors.get(cuda[0])) is not None:
                    rows[floor] = f"CUDA {floor.cuda} compiles for sm_{floor.sm} and newer"
                    first = cuda_version(gpu.cuda) if gpu.cuda else ()
                    early = cuda < first and not agree(cuda, first)
                    verdicts.append("error" if gpu.sm < floor.sm else "warning" if early else "ok")
            if verdicts and "ok" not in verdicts:
                (late if "warning" in verdicts else lacking).append(gpu)
        named = ", ".join(f"{gpu.gpu} is sm_{gpu.sm}" for gpu in lacking)
        facts = "; ".join(rows.values())
        if not rows:
            yield Finding("gpu-architecture", "not_checked", f"{part.name}: no row for {say_cuda(part.cuda or ())}")
        elif lacking:
            others = [row.cuda for row in builds if all(row.sm[0] <= gpu.sm <= row.sm[1] for gpu in lacking)]
            made = {one[0] for one in offered_by(part.rows, None)} or set(floors)
            others = others or [
                str(major)
                for major, row in floors.items()
                if not builds and major in made and all(gpu.sm >= row.sm for gpu in lacking)
            ]
            instead = f"take its build for CUDA {' or '.join(others)}, or " if others else ""
            yield Finding(
                "gpu-architecture",
                "error",
                f"{part.name}: {named}, and {facts}",
                scene.cite(*rows, *lacking),
                f"{instead}leave {listed(gpu.gpu for gpu in lacking)} out of the GPUs",
            )
        elif not late:
            what = f"{part.name}: {listed(gpu.gpu for gpu in scene.gpus)}; {facts}"
            yield Finding("gpu-architecture", "ok", what, scene.cite(*rows))
        if late:
            yield Finding(
                "gpu-architecture",
                "warning",
                f"{part.name}: {say_cuda(part.cuda or ())} is older than "
                + ", ".join(f"{gpu.gpu}, which CUDA {gpu.cuda} knows first" for gpu in late),
                scene.cite(*late),
                "it runs only what the driver can compile when it starts; take a newer build",
            )


def gpu_driver(scene: Scene) -> Iterator[Finding]:
    """The driver branch, and the kernel modules of the image's own driver, support each GPU"""
    for gpu in scene.gpus if scene.gpu else ():
        for branch, who in scene.drivers.items() if gpu.last_driver is not None else ():
            over = branch > (gpu.last_driver or branch)
            yield Finding(
                "gpu-driver",
                "error" if over else "ok",
                f"{gpu.gpu}: driver {gpu.last_driver} is the last that supports it, and {who} {branch}",
                scene.cite(gpu),
                f"install driver {gpu.last_driver} on machines with {gpu.gpu}" if over else "",
            )
        for tool, row in _modules(scene):
            fits = row.sm[0] <= gpu.sm <= row.sm[1]
            yield Finding(
                "gpu-driver",
                "ok" if fits else "error",
                f"{gpu.gpu} is sm_{gpu.sm}, and the {row.modules} modules of {tool} are for sm_{row.sm[0]} to "
                f"sm_{row.sm[1]}",
                scene.cite(row, gpu),
                "" if fits else f"take a source of {tool} with other modules, or leave {gpu.gpu} out of the GPUs",
            )


def _modules(scene: Scene) -> Iterator[tuple[str, ModulesRow]]:
    """The tools that bring modules of a known kind."""
    for tool in dict.fromkeys(one.tool for one in scene.bundled):
        for row in scene.compat.modules:
            if any(fnmatchcase(text, pattern) for text in scene.texts[tool] for pattern in row.packages):
                yield tool, row


def toolkit(scene: Scene) -> Iterator[Finding]:
    """The image's CUDA compiler can build extensions of the frameworks"""
    compilers = [
        part
        for part in scene.parts
        if part.package is None and part.cuda and any(_COMPILER.search(text) for text in scene.texts.get(part.tool, ()))
    ]
    users = [part for part in scene.parts if part.package is not None and part.cuda]
    for compiler in compilers if scene.gpu else ():
        majors = {one[0] for one in compiler.cuda or ()}
        others = [part for part in users if not majors & {one[0] for one in part.cuda or ()}]
        if others:
            yield Finding(
                "toolkit",
                "warning",
                f"{compiler.tool} is {say_cuda(compiler.cuda or ())}, "
                + ", ".join(f"{part.tool} {say_cuda(part.cuda or ())}" for part in others),
                "a framework's CUDA extensions need a compiler of its own major version",
                "each environment still runs with its own libraries; take one major version where people compile",
            )
        elif users:
            yield Finding("toolkit", "ok", f"{compiler.tool}: {say_cuda(compiler.cuda or ())}, as all frameworks")


def repository(scene: Scene) -> Iterator[Finding]:
    """A vendor's package repository is made for the variant's distribution"""
    for tool, texts in scene.texts.items():
        for row in scene.compat.repositories:
            if not any(f"{row.path}/" in f"{text}/" for text in texts):
                continue
            fits = row.os == scene.base.os and _release(row.release, scene.base.release)
            yield Finding(
                "repository",
                "ok" if fits else "error",
                f"{tool}: {row.path} is for {row.os} {row.release}, base '{scene.base.base}' is {scene.base.os} "
                f"{scene.base.release}",
                scene.cite(row),
                "" if fits else "name the repository of this distribution, or tie the source to its base with when:",
            )


def distribution(scene: Scene) -> Iterator[Finding]:
    """A package is one that its makers build for the variant's distribution"""
    for tool, texts in scene.texts.items():
        for package in dict.fromkeys(text for text in texts):
            rows = [row for row in scene.compat.distributions if row.package == package]
            fits = [
                row
                for row in rows
                if row.os == scene.base.os and any(_release(one, scene.base.release) for one in row.releases)
            ]
            made = " and ".join(f"{row.os} {', '.join(row.releases)}" for row in rows)
            if rows:
                yield Finding(
                    "distribution",
                    "ok" if fits else "warning",
                    f"{tool}: {package} is made for {made}, base '{scene.base.base}' is {scene.base.os} "
                    f"{scene.base.release}",
                    scene.cite(*rows),
                    "" if fits else "it may work: look at what its checks say",
                )


def cpu_image(scene: Scene) -> Iterator[Finding]:
    """An image for CPUs carries no CUDA library and no driver"""
    if scene.gpu:
        return
    carried = [f"{name} in {place}" for place, found in scene.marks.items() for name in found]
    carried += [f"{name} in system" for name in scene.system_cuda]
    carried += [f"{part.tool} promises {say_cuda({part.promised})}" for part in scene.parts if part.promised]
    carried += [f"{one.tool} brings driver {one.branch}" for one in scene.bundled]
    if carried:
        remedy = "give its tool a source for accelerator: cpu, or make the variant a gpu one"
        yield Finding(
            "cpu-image", "error", f"an image for CPUs with CUDA: {some_of(carried)}", "its size, for nothing", remedy
        )
    else:
        seen = "pins" if scene.locked else "promises"
        yield Finding("cpu-image", "ok", f"no CUDA among the {seen} of {scene.variant.variant}")


def end_of_life(scene: Scene) -> Iterator[Finding]:
    """Distribution, Python and driver are maintained; the policy says when that is an error"""
    subjects = [(scene.base.os, scene.base.release)]
    subjects += [("python", scene.base.python)] if scene.base.python else []
    subjects += [("nvidia-driver", str(branch)) for branch in scene.drivers] if scene.gpu else []
    for product, release in subjects:
        row = next(
            (row for row in scene.compat.ends if row.product == product and _release(row.release, release)), None
        )
        if row is None:
            yield Finding("end-of-life", "not_checked", f"{product} {release}: no row")
            continue
        level, what = end_state(scene.compat, row, scene.today)
        remedy = f"take a newer {product}" if level != "ok" else ""
        if level == "error":
            remedy += f"; policy.grace.{product} in a compat.yaml of your own, in days, puts it off"
        yield Finding("end-of-life", level, f"{product} {release}: {what}", scene.cite(row), remedy)


def end_state(compat: Compat, row: EndRow, today: date) -> tuple[GateLevel, str]:
    """What the policy makes of an end today, and that in words."""
    more = f", long-term support {'ended' if row.last < today else 'ends'} {row.extended}" if row.extended else ""
    what = f"support {'ended' if row.support < today else 'ends'} {row.support}{more}"
    if row.last + timedelta(days=compat.policy.grace.get(row.product, 0)) < today:
        return "error", what
    return ("warning" if row.support - timedelta(days=compat.policy.near) <= today else "ok"), what


def _release(row: str, release: str) -> bool:
    """Whether a row for '9' speaks for release '9.6', too."""
    return release == row or release.startswith(f"{row}.")


# In the order in which people read them.
RULES: tuple[Rule, ...] = (
    python, framework_cuda, one_cuda, shared_cuda, promise, cudnn, driver, one_driver, gpu_architecture, gpu_driver,
    toolkit, repository, distribution, cpu_image, end_of_life,
)  # fmt: skip


def rule_name(rule: Rule) -> str:
    """The name that people see: gpu-architecture."""
    return rule.__name__.replace("_", "-")
