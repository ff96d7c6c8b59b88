"""Plan -> text: Dockerfile or PowerShell, and the small files of an image. Reads no manifest and no network."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm import ROOT
from dsvm.host import guarded, write_whole
from dsvm.model import InputError, Plan, Stage, Step, canonical_json, traits
from dsvm.plan import packer
from dsvm.plan.files import PROVISIONERS
from dsvm.plan.manifest import image_manifest
from dsvm.plan.planning import script

if TYPE_CHECKING:
    from jinja2 import Environment, TemplateError

TEMPLATES = ROOT / "templates"
LABELS = "org.dsvm"
PLAN = "plan.json"  # the whole plan, beside what is rendered from it
STORE = "/dsvm/store"


@cache
def environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no markup; the filters do the quoting of each language
    )
    env.filters |= {
        "exec": exec_form,
        "hcl": hcl,
        "literal": literal,
        "mounts": lambda step: list(mounts(step)),
        "quoted": quoted,
        "shell": shell_form,
    }
    return env


def main_text(plan: Plan) -> str:
    """What a plan is built from: the Dockerfile, or for Windows the PowerShell that runs in a virtual machine."""
    return render(traits(plan.base).template, plan=plan, labels=labels(plan), files=files_context(plan))


def machine_dockerfile(plan: Plan) -> str:
    """The Dockerfile of what a virtual machine has beside the container image that it starts from."""
    return render("machine.Dockerfile.j2", plan=plan, stages=machine_stages(plan), files=files_context(plan))


def machine_stages(plan: Plan) -> tuple[Stage, ...]:
    """The stages that only a machine's image has, and those that they start from."""
    special = {section.id for section in plan.sections if section.formats}
    stages = {stage.name: stage for stage in plan.stages}
    wanted = set()
    for stage in plan.stages:
        name = stage.name if stage.section in special else ""
        while name in stages:
            wanted.add(name)
            name = stages[name].parent
    return tuple(stage for stage in plan.stages if stage.name in wanted)


def packer_files(plan: Plan, *, plugins: bool) -> dict[str, str]:
    """File name -> text of the Packer template of a virtual machine's plan.

    With `plugins`, also the file that says which plugins it needs: Packer before 1.7 has them inside and takes no
    such file.
    """
    source = packer.source_of(plan)
    names = [source.variables, source.builder, "build", *(["plugins"] if plugins else [])]
    values = packer.values(plan, plugins=plugins)
    return {f"{name}.pkr.hcl": render(f"packer/{name}.pkr.hcl.j2", **values) for name in names}


def render(name: str, **values: object) -> str:
    """Text of a template. Raises InputError with file and line when it is broken or names what does not exist."""
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        return environment().get_template(name).render(**values)
    except TemplateSyntaxError as error:
        raise InputError(f"{TEMPLATES / name}:{error.lineno}: {error.message}") from error
    except TemplateError as error:
        raise InputError(f"{TEMPLATES / name}:{_line_in(error, name)}: {error.message}") from error


def _line_in(error: TemplateError, name: str) -> int:
    """The line of a template that an error passed through; jinja2 rewrites tracebacks to show it."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if Path(frame.filename).name == name), 1)


def labels(plan: Plan) -> dict[str, str]:
    """Labels of the image; the first ones by https://github.com/opencontainers/image-spec/blob/main/annotations.md."""
    created = datetime.fromtimestamp(plan.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "org.opencontainers.image.title": f"DSVM {plan.variant}",
        "org.opencontainers.image.description": plan.summary,
        "org.opencontainers.image.created": created,
        f"{LABELS}.variant": plan.variant,
        f"{LABELS}.accelerator": plan.accelerator,
        f"{LABELS}.base": f"{plan.base.base} ({plan.base_kind})",
        f"{LABELS}.lock": plan.lock_digest,
        f"{LABELS}.plan": plan.digest,
    }


def hcl(value: str | Sequence[str]) -> str:
    """`value` as HCL that stands for itself: no interpolation, no directive, no escape of its own.

    https://developer.hashicorp.com/terraform/language/expressions/strings, which is the syntax of Packer too
    """
    if not isinstance(value, str):
        return f"[{', '.join(map(hcl, value))}]"
    # "${" and "%{" begin templates; the doubled sign that would escape them means something else after another sign
    return '"' + re.sub(r'["\\]|[\x00-\x1f\x7f]|[$%](?=\{)', lambda found: f"\\u{ord(found[0]):04x}", value) + '"'


def quoted(value: str) -> str:
    """`value` as a double-quoted Dockerfile word that stands for itself: no variable, no escape, no second line.

    https://docs.docker.com/reference/dockerfile/#environment-replacement
    """
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError(f"{value!r} holds a control character")
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def literal(value: str) -> str:
    """`value` as a PowerShell literal that stands for itself: nothing is expanded, and no character ends it early.

    PowerShell takes five characters for a single quote, and each is written twice to stand for itself.
    https://learn.microsoft.com/powershell/scripting/lang-spec/chapter-02 (string literals, single-quote-character)
    """
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        raise ValueError(f"{value!r} holds a control character")
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", value) + "'"


def exec_form(step: Step) -> str:
    """The step's command as a JSON array, which no shell reads."""
    return json.dumps([f"/dsvm/bin/{step.script}", *step.args])


def shell_form(step: Step) -> str:
    """The step's command as words that a POSIX shell takes for what they are."""
    return shlex.join([step.script, *step.args])


def mounts(step: Step) -> Iterator[str]:
    """The bind and cache mounts of a step, as the values of --mount."""
    for name in (step.script, *step.helpers):
        yield f"type=bind,from=scripts,source=/{name},target=/dsvm/bin/{name}"
    for section in step.sections:
        yield f"type=bind,from={context_name(section)},target={STORE}/{section}"
    if step.cache:
        yield f"type=cache,id=dsvm-{step.cache},target=/dsvm/cache,sharing=shared"


def context_name(section: str) -> str:
    """Name of the build context that holds the artefacts of a section."""
    return f"store-{section}"


def files_context(plan: Plan) -> str:
    """Name of the build context that holds the small files; each plan has its own.

    BuildKit keeps what a context of the same name brought before, and with it the times of folders: the layer
    would depend on what the engine built earlier.
    """
    return f"files-{plan.digest[:12]}"


def small_texts(plan: Plan) -> dict[str, tuple[str, int]]:
    """Path -> text and mode of what the image gets beside its tools."""
    texts: dict[str, tuple[str, int]] = {
        path: (file.text or "", int(file.mode, 8)) for path, file in plan.files.items()
    }
    here = traits(plan.base)
    texts |= {path: ((here.scripts / name).read_text(), 0o755) for path, name in here.programs.items()}
    texts[here.manifest] = (canonical_json(image_manifest(plan)), 0o644)
    return texts


def write_files(plan: Plan, folder: Path) -> None:
    """Fill `folder` with what the image gets beside its tools, with canonical modes and pinned times."""
    texts = small_texts(plan)
    with guarded(folder):
        _clear(folder)
        for path, (text, mode) in sorted(texts.items()):
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            target.chmod(mode)
        clamp(folder, plan.epoch)


def _clear(folder: Path) -> None:
    """Remove a folder of ours that is filled anew. Raises OSError, also for what is none."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def write_scripts(plan: Plan, folder: Path) -> None:
    """Fill `folder` with the scripts of the build; what is right already is left alone."""
    with guarded(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in plan.scripts:
            data = script(name, traits(plan.base))
            target = folder / name
            if not target.is_file() or target.read_bytes() != data:
                write_whole(target, data)
            target.chmod(0o755)


def clamp(folder: Path, epoch: int) -> None:
    """Give everything below `folder`, and itself, the time `epoch` and every folder the mode 0755."""
    for root, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            os.utime(Path(root) / name, (epoch, epoch), follow_symlinks=False)
        Path(root).chmod(0o755)
        os.utime(root, (epoch, epoch))


def write_packer(plan: Plan, folder: Path, *, plugins: bool) -> None:
    """Fill `folder` with the Packer template of a machine and the scripts that it runs there."""
    scripts = [PROVISIONERS / name for name in plan.machine.provisioners] if plan.machine else []
    with guarded(folder):
        _clear(folder)
        (folder / "scripts").mkdir(parents=True)
        for name, text in packer_files(plan, plugins=plugins).items():
            (folder / name).write_text(text, encoding="utf-8")
        for path in (*scripts, *packer.source_of(plan).steps[plan.base.platform].scripts):
            shutil.copyfile(path, folder / "scripts" / path.name)


def write(plan: Plan, folder: Path, *, plugins: bool = True) -> Path:
    """Write everything that is rendered from `plan` below `folder`; returns the file that the rest belongs to.

    A machine's Packer template says which plugins it needs, unless `plugins` is false.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = traits(plan.base)
    target = folder / here.rendered
    text = main_text(plan) if plan.machine is None else machine_dockerfile(plan)
    write_whole(target, text.encode(here.encoding))
    if plan.format is not None:
        write_packer(plan, folder / "packer", plugins=plugins)
    write_whole(folder / PLAN, canonical_json(plan))
    write_files(plan, folder / "files")
    write_scripts(plan, folder / "scripts")
    return target
