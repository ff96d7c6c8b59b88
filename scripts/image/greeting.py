"""What `dsvm-info --motd` says to whoever opens a terminal: the image in a few lines, and where there is more."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GPUS = Path("/proc/driver/nvidia/gpus")
MOST_NAMES = 6  # environments and services that are named
VERSION = re.compile(r"\d+([.]\d+){0,2}")  # without what a distribution adds
LANGUAGES = {"r": "R", "julia": "Julia", "openjdk": "Java", "nodejs": "Node.js"}


def lines(image: Json, gpus: Sequence[str], width: int) -> Iterator[str]:
    """At most 20 lines of at most `width` characters, for a manifest that is ours; `gpus` by `seen_gpus`."""
    head = f"{image['variant']} of {image['created']}" + (f": {image['summary']}" if image["summary"] else "")
    yield from _wrapped(head, width, most=3)
    yield ""
    for name, text in _facts(image, gpus):
        first, *more = _wrapped(text, width - 14, most=2)
        yield f"  {name:<12}{first}"
        yield from (" " * 14 + line for line in more)


def seen_gpus(place: Path = GPUS) -> list[str]:
    """What NVIDIA's driver calls each GPU; asks the driver's own files, which takes no time."""
    found = []
    for path in sorted(place.glob("*/information")):
        try:
            said = dict(line.partition(":")[::2] for line in path.read_text(errors="replace").splitlines())
        except OSError:
            continue
        found.append(said.get("Model", "a GPU").strip() or "a GPU")
    return found


def _facts(image: Json, gpus: Sequence[str]) -> Iterator[tuple[str, str]]:
    tools = image["tools"]
    yield "Tools", f"{len(tools)}: dsvm-info lists them, dsvm-info NAME tells more of one"
    if envs := sorted({tool["env"] for tool in tools if tool["env"]}, key=lambda name: (name != "base", name)):
        shown = _named(envs).replace("base", "base (on the PATH)", 1) if envs[0] == "base" else _named(envs)
        yield "Python", f"{shown}: dsvm-python NAME"
    versions = {tool["name"]: VERSION.match(tool["version"]) for tool in tools}
    if others := [f"{name} {found[0]}" for tool, name in LANGUAGES.items() if (found := versions.get(tool))]:
        yield "Languages", ", ".join(others)
    if envs:
        yield "Packages", "pip install NAME: it goes to your home and needs no root"
    yield "GPU", _gpus(image, gpus)
    if image["services"]:
        ports = [f"{name} ({one['port']})" for name, one in sorted(image["services"].items())]
        yield "Services", f"{_named(ports)}; each asks for its token"
    page = '"Start Page" in JupyterLab, ' if "jupyterlab" in image["services"] else ""
    yield "Help", f"{page}or dsvm-info --html > here.html" if page else "dsvm-info --html > here.html"
    yield "Not again", "touch ~/.hushlogin"


def _gpus(image: Json, gpus: Sequence[str]) -> str:
    if gpus:
        return ", ".join(f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus))
    if image["accelerator"] == "gpu":
        return "none is seen here: everything runs on the processor (docker run --gpus all shows them)"
    return "none is seen here, and none is needed"


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _wrapped(text: str, width: int, most: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), max_lines=most, placeholder=" ...") or [""]
