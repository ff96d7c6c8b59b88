"""What Jupyter's servers are set to, read as they read it.

https://docs.jupyter.org/en/latest/use/jupyter-directories.html,
https://traitlets.readthedocs.io/en/stable/config.html
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dsvm.ledger.properties.sight import Sight

# of every application, of the server, of the applications that are started, and of what notebook_shim still reads
NAMES = ("jupyter_config", "jupyter_notebook_config", "jupyter_server_config", "jupyter_lab_config")
SYSTEM = ("/usr/local/etc/jupyter", "/etc/jupyter")
HOMES = ("/home/ds", "/root")
NOT_READ = "it is more than settings: what it does cannot be told"


@dataclass(frozen=True)
class Setting:
    """What a file sets: `owner` is a class such as ServerApp, "" where it is anything else of the file."""

    owner: str
    name: str
    value: object
    path: str


def settings(sight: Sight) -> Iterator[Setting]:
    """The settings that count, for each environment with Jupyter in it and each home: later files win over earlier."""
    found: dict[tuple[str, str, str], Setting] = {}
    for folders in _places(sight):
        merged: dict[tuple[str, str], Setting] = {}
        for name in NAMES:
            for folder in reversed(folders):
                for path in _files(sight, folder, name):
                    for one in _read(path, sight.text(path)):
                        merged[one.owner, one.name] = one
        found |= {(one.owner, one.name, one.path): one for one in merged.values()}
    yield from found.values()


def _places(sight: Sight) -> Iterator[Sequence[str]]:
    """Folders of settings, those that win first."""
    here = sight.environment
    extra = [one for one in here.get("JUPYTER_CONFIG_PATH", "").split(":") if one]
    prefixes = sorted({path.rpartition("/bin/")[0] for path in sight.tree if "/bin/jupyter" in path})
    for home in HOMES:
        own = here.get("JUPYTER_CONFIG_DIR") or f"{home}/.jupyter"
        for prefix in prefixes or ["/usr"]:
            yield [own, *extra, f"{home}/.local/etc/jupyter", f"{prefix}/etc/jupyter", *SYSTEM]


def _files(sight: Sight, folder: str, name: str) -> Iterator[str]:
    """Files of that name in the order in which they are read: conf.d, then .py, then .json."""
    inside = (path for path in sight.below(f"{folder}/{name}.d/") if path.endswith(".json"))
    yield from inside
    yield from (path for path in (f"{folder}/{name}.py", f"{folder}/{name}.json") if path in sight.tree)


def _read(path: str, text: str) -> Iterator[Setting]:
    try:
        if path.endswith(".json"):
            yield from _of_mapping(json.loads(text or "{}"), path)
        else:
            yield from _of_python(ast.parse(text), path)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        yield Setting("", "", f"it cannot be read: {type(error).__name__}", path)


def _of_mapping(said: object, path: str) -> Iterator[Setting]:
    for owner, values in said.items() if isinstance(said, Mapping) else ():
        if isinstance(values, Mapping):
            yield from (Setting(owner, str(name), value, path) for name, value in values.items())


def _of_python(tree: ast.Module, path: str) -> Iterator[Setting]:
    """`c.ServerApp.token = ''`, as it stands; whatever else is done there is said as a whole."""
    for statement in tree.body:
        match statement:
            case ast.Assign(
                targets=[ast.Attribute(value=ast.Attribute(value=ast.Name(id="c"), attr=owner), attr=name)], value=value
            ):
                try:
                    yield Setting(owner, name, ast.literal_eval(value), path)
                except ValueError:
                    yield Setting(owner, name, ast.unparse(value)[:60], path)
            case (
                ast.Expr(value=ast.Constant())
                | ast.Assign(
                    targets=[ast.Name(id="c")], value=ast.Call(func=ast.Name(id="get_config"), args=[], keywords=[])
                )
            ):
                pass
            case _:
                yield Setting("", "", NOT_READ, path)
