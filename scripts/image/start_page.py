"""The page of `dsvm-info --html`: what is in this image and how to use it, for people who have just come in."""

from __future__ import annotations

import html
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

Json = dict[str, Any]
SMI = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
NO_GPU = "No GPU is seen here: everything runs on the processor."

STYLE = """
:root { color-scheme: light dark;
  --paper: #fff; --ink: #1b1f24; --line: #d0d4da; --soft: #f2f4f7; --link: #0b57d0; --faint: #565d68 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e8eaed; --line: #444a52; --soft: #23262b; --link: #8ab4f8; --faint: #aab1bb }
}
html { background: var(--paper); color: var(--ink) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p { margin: .4rem 0 } .faint { color: var(--faint) } a { color: var(--link) }
code { background: var(--soft); padding: .1em .35em; border-radius: 4px; font-size: .92em; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600 } td:nth-child(2) { white-space: nowrap }
details { margin: .5rem 0 } summary { cursor: pointer; font-weight: 600 }
@media (max-width: 40rem) { td, th { display: block; border: 0; padding: 0 } tr { display: block; margin: .6rem 0 }
  thead { display: none } }
"""


def page(image: Json, gpus: list[str], *, links: bool = False) -> str:
    """The whole page, of an image's manifest and of what `seen_gpus` says.

    With `links` sample notebooks are links, relative to the page: Jupyter's server opens them.
    """
    title = f"{image['variant']}: what is here"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{STYLE}</style></head><body><main>",
            *_head(image, gpus),
            *_environments(image),
            *_notebooks(image, links=links),
            *_adding(image),
            *_services(image),
            *_tools(image),
            *_left_out(image),
            "</main></body></html>",
            "",
        ]
    )


def seen_gpus() -> list[str]:
    """Name, driver and memory of each GPU that NVIDIA's driver shows."""
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, errors="replace", timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _text(value: object) -> str:
    return html.escape(str(value))


def _code(value: object) -> str:
    return f"<code>{_text(value)}</code>"


def _table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    """A table of cells that are HTML already."""
    named = "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield f"<table><thead><tr>{named}</tr></thead><tbody>"
    yield from ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    yield "</tbody></table>"


def _head(image: Json, gpus: list[str]) -> Iterator[str]:
    yield f"<h1>{_text(image['variant'])}</h1>"
    yield f"<p>{_text(image['summary'])}</p>"
    made = (
        f"{image['base']}, for {image['accelerator'].upper()}, {len(image['tools'])} tools, lock {image['lock'][:12]}"
    )
    yield f'<p class="faint">{_text(made)}</p>'
    yield from (f"<p>GPU: {_text(gpu)}</p>" for gpu in gpus) if gpus else (f"<p>{NO_GPU}</p>",)


def _environments(image: Json) -> Iterator[str]:
    names = sorted({tool["env"] for tool in image["tools"] if tool["env"]})
    if not names:
        return
    yield "<h2>Python environments</h2>"
    yield "<p>Each is a kernel of Jupyter too. Programs of <code>base</code> are on the PATH.</p>"
    rows = []
    for name in names:
        inside = [tool["name"] for tool in image["tools"] if tool["env"] == name]
        shown = ", ".join(inside[:12]) + (f" and {len(inside) - 12} more" if len(inside) > 12 else "")
        rows.append([_text(name), _code(f"dsvm-python {name}"), _text(shown)])
    yield from _table(["name", "in a terminal", "tools"], rows)


def _notebooks(image: Json, *, links: bool) -> Iterator[str]:
    found = [(tool, tool["notebook"]) for tool in image["tools"] if tool.get("notebook")]
    if not found:
        return
    yield "<h2>Sample notebooks</h2>"
    if links:
        yield f"<p>Each opens as a copy of your own, in the folder {_code('samples')} of your home.</p>"
    else:
        yield f"<p>They lie in {_code(str(PurePosixPath(found[0][1]['path']).parent))}.</p>"
    rows = []
    for tool, one in sorted(found, key=lambda pair: (pair[0]["group"], pair[1]["title"])):
        name = PurePosixPath(one["path"]).name
        shown = _text(one["title"])
        place = f'<a href="notebooks/{_text(name)}">{shown}</a>' if links else f"{shown}: {_code(name)}"
        rows.append([place, _text(tool["group"].replace("-", " ")), _text(one["kernel"])])
    yield from _table(["notebook", "group", "kernel"], rows)


def _adding(image: Json) -> Iterator[str]:
    """How people add packages, for the languages that are here."""
    have = {tool["name"] for tool in image["tools"]}
    ways = [
        ("Python", "%pip install NAME", any(tool["env"] for tool in image["tools"]), "in a notebook, in its kernel"),
        ("R", 'install.packages("NAME")', "r" in have, "in R"),
        ("Julia", 'using Pkg; Pkg.add("NAME")', "julia" in have, "in Julia"),
    ]
    rows = [[_text(name), _code(how), _text(where)] for name, how, is_here, where in ways if is_here]
    if rows:
        yield "<h2>Adding packages</h2>"
        yield "<p>They go to your home and need no root. What is mounted as a home keeps them.</p>"
        yield from _table(["language", "how", "where"], rows)


def _services(image: Json) -> Iterator[str]:
    if image["services"]:
        yield "<h2>Services</h2>"
        rows = [
            [_text(name), f"port {int(one['port'])}", "asks for the token of DSVM_TOKEN"]
            for name, one in sorted(image["services"].items())
        ]
        yield from _table(["service", "where", "who gets in"], rows)


def _tools(image: Json) -> Iterator[str]:
    yield "<h2>Tools</h2>"
    yield f"<p>More about one of them in a terminal: {_code('dsvm-info TOOL')}</p>"
    tools = sorted(image["tools"], key=lambda tool: (tool["group"], tool["name"]))
    for group, members in groupby(tools, key=lambda tool: tool["group"]):
        rows = [[_named(tool), _text(tool["version"]), _text(tool["summary"])] for tool in members]
        yield f"<details open><summary>{_text(group.replace('-', ' '))}</summary>"
        yield from _table(["tool", "version", "what it is"], rows)
        yield "</details>"


def _named(tool: Json) -> str:
    """Its name, which leads to its makers' page where that is one of the web."""
    place = str(tool["homepage"] or "")
    if not place.startswith(("https://", "http://")):
        return _text(tool["name"])
    return f'<a href="{_text(place)}" rel="noreferrer">{_text(tool["name"])}</a>'


def _left_out(image: Json) -> Iterator[str]:
    if image["left_out"]:
        yield "<h2>Not here</h2>"
        yield from _table(["tool", "why"], [[_text(one["tool"]), _text(one["reason"])] for one in image["left_out"]])
