"""Programs that stand before others of their name, and links to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from posixpath import normpath

from dsvm.ledger.comparing import Difference, links_to_nothing
from dsvm.ledger.properties.sight import Sight

# what a shell reads when it starts, for a login or not: https://www.gnu.org/software/bash/manual/html_node/Bash-Startup-Files.html
STARTUP = (
    *("/etc/environment", "/etc/profile", "/etc/bash.bashrc", "/etc/bashrc", "/etc/zsh/zshenv", "/etc/zshenv"),
    *(f"{home}/{name}" for home in ("/home/ds", "/root") for name in (
        ".profile", ".bash_profile", ".bash_login", ".bashrc", ".bash_aliases", ".zshenv", ".zshrc",
    )),
)  # fmt: skip
STARTUP_FOLDERS = ("/etc/profile.d/", "/etc/environment.d/")
ASSIGNED = re.compile(r"""(?:^|[\s;&("'])PATH=["']?([^"'\s;)]+)""", re.MULTILINE)
EXECUTABLE = 0o111


def hidden_programs(sight: Sight) -> Iterator[Difference]:
    """Programs on a PATH that stand before another one of their name, and are of no artefact.

    The image's own PATH counts, and every PATH that a shell's startup files set.
    """
    programs: dict[str, dict[str, str]] = {}
    for path, (entry, _) in sight.tree.items():
        if entry.kind != "folder":
            folder, _, name = path.rpartition("/")
            programs.setdefault(folder, {})[name] = path
    found: dict[str, Difference] = {}
    for folders in _paths(sight):
        seen: dict[str, str] = {}
        for folder in reversed(folders):
            for name, here in programs.get(folder, {}).items():
                if name in seen and _is_foreign(sight, here):
                    what = f"it hides {seen[name]}, and no artefact has it"
                    found.setdefault(here, Difference("hidden-program", here, what, "", sight.tree[here][1]))
                seen[name] = here
    yield from found.values()


def _paths(sight: Sight) -> Iterator[Sequence[str]]:
    """The folders of each PATH, links followed and each once."""
    usual = sight.environment.get("PATH", "")
    read = [*STARTUP, *(path for folder in STARTUP_FOLDERS for path in sight.below(folder))]
    set_by_shells = [one for path in read for one in ASSIGNED.findall(sight.text(path))]
    for path in (usual, *set_by_shells):
        whole = path
        for name, value in (("PATH", usual), ("HOME", "/home/ds")):
            whole = whole.replace(f"${{{name}}}", value).replace(f"${name}", value)
        folders = (one.replace("~", "/home/ds", 1) for one in whole.split(":"))
        yield list(dict.fromkeys(sight.real.end(normpath(one)) for one in folders if one.startswith("/")))


def _is_foreign(sight: Sight, path: str) -> bool:
    """Whether a path is a program that no artefact has there, nor a link to one that some artefact has."""
    end = sight.real.end(path)
    if path in sight.wanted or end in sight.wanted or end not in sight.tree:
        return False
    entry = sight.tree[end][0]
    return entry.kind == "file" and bool(entry.mode & EXECUTABLE)


def broken_links(sight: Sight) -> Iterator[Difference]:
    """Links that lead to nothing, but for those that a package has so, and those into folders of a running image."""
    for path in links_to_nothing(sight.tree):
        entry, layer = sight.tree[path]
        if any(one.kind == "link" and one.target == entry.target for one, _ in sight.wanted.get(path, ())):
            continue
        target = str(PurePosixPath(path).parent / entry.target)
        yield Difference("broken-link", path, f"it leads to {target}, which is not there", "", layer)
