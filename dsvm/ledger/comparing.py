"""An image's tree against what is promised of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cache
from pathlib import PurePosixPath
from typing import Literal

from dsvm.ecosystems import Generated
from dsvm.ledger.promises import Promises
from dsvm.model import ANY, Entry, Level

Verdict = Literal[
    "unexplained", "changed", "missing", "mode", "owner", "stale",
    "setuid", "setgid", "capability", "writable", "account", "sudo", "ca-bundle", "hidden-program", "broken-link",
    "library", "secret", "unread", "leftover", "service", "layers", "settings",
]  # fmt: skip
# what is no error
LEVELS: Mapping[Verdict, Level] = {"broken-link": "note", "leftover": "warning", "unread": "unknown"}
LONGEST = 500  # characters of what an image says in one place
LATER = ("/dev/", "/proc/", "/run/", "/sys/")  # folders that are filled when an image runs
BYTECODE = re.compile(r"^(?P<folder>.*)/__pycache__/(?P<name>[^/]+)\.cpython-\d+(?:\.opt-[12])?\.pyc$")


@dataclass(frozen=True)
class Difference:
    """What is not as promised. `who` promises it, "" where nobody does."""

    verdict: Verdict
    path: str
    what: str
    who: str = ""
    layer: int = ANY


def shown(one: Difference) -> Difference:
    """The same in words that may be shown: an image's files are called as whoever made them likes."""
    return replace(one, path=printable(one.path), what=printable(one.what), who=printable(one.who))


def printable(text: str) -> str:
    """A line of what an image says, without control characters, invisible ones, and bytes that are no text."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:LONGEST])


def compare(tree: Mapping[str, tuple[Entry, int]], promised: Promises) -> list[Difference]:
    """Every path that is explained by nothing, or is not what was promised; and what was promised and is not there."""
    return sorted(_Comparison(tree, promised).differences(), key=lambda one: (one.path, one.verdict))


def resolved(promised: Promises, tree: Mapping[str, tuple[Entry, int]]) -> dict[str, list[tuple[Entry, str]]]:
    """What is promised, at the paths to which the image's own links of folders lead: /bin/sh at /usr/bin/sh."""
    real = Resolver(tree)
    wanted: dict[str, list[tuple[Entry, str]]] = {}
    for path, entries in promised.entries.items():
        wanted.setdefault(real.path(path), []).extend(entries)
    return wanted


def leads_somewhere(end: str, tree: Mapping[str, tuple[Entry, int]]) -> bool:
    """Whether the end of a link is there, or will be when the image runs."""
    return end in tree or end in ("", "/") or f"{end}/".startswith(LATER)


def links_to_nothing(tree: Mapping[str, tuple[Entry, int]]) -> list[str]:
    """The links whose end is not there."""
    real = Resolver(tree)
    links = (path for path, (entry, _) in tree.items() if entry.kind == "link")
    return [path for path in links if not leads_somewhere(real.end(path), tree)]


class _Comparison:
    def __init__(self, tree: Mapping[str, tuple[Entry, int]], promised: Promises) -> None:
        self.tree = tree
        self.real = Resolver(tree)
        self.pools = promised.pools
        self.made = _Patterns(promised.generated)
        self.wanted = resolved(promised, tree)
        self.digests = {one.sha256 for entries in self.wanted.values() for one, _ in entries if one.sha256}

    def differences(self) -> Iterator[Difference]:
        for path, (entry, layer) in self.tree.items():
            entries = self.wanted.get(path, ())
            same = any(is_as_promised(entry, one) for one, _ in entries)
            if not same and self._is_stale(path, entry):
                yield Difference(
                    "stale", path, "this byte code was made of another source than the one beside it", "", layer
                )
            elif entries:
                yield from self._against(path, entry, layer, entries)
            elif entry.kind != "folder" and not self._explained(path, entry):
                # a folder is explained by what is in it, or that is found
                yield Difference("unexplained", path, f"nothing explains this {entry.kind}", "", layer)
        for path, entries in self.wanted.items():
            if (
                path not in self.tree
                and path != "/"
                and not all(one.kind == "ghost" for one, _ in entries)
                and not (self.made.may(path, "gone") or self.made.may(path, "any"))
            ):
                what = f"{_who(entries)} has a {entries[0][0].kind} there, and the image has none"
                yield Difference("missing", path, what, _who(entries))

    def _against(
        self, path: str, entry: Entry, layer: int, entries: Sequence[tuple[Entry, str]]
    ) -> Iterator[Difference]:
        who = _who(entries)
        same = [one for one, _ in entries if is_as_promised(entry, one)]
        if not same:
            if not self._explained(path, entry):
                yield Difference(
                    "changed", path, f"it is not the {entries[0][0].kind} that {who} has there", who, layer
                )
            return
        if entry.kind == "link" or self.made.may(path, "mode"):
            return
        modes = {one.mode for one in same} - {ANY}
        if modes and entry.mode not in modes:
            said = ", ".join(f"{mode:04o}" for mode in sorted(modes))
            yield Difference("mode", path, f"its mode is {entry.mode:04o}, not {said}", who, layer)
        owners = {(one.uid, one.gid) for one in same}
        if not any(uid in (ANY, entry.uid) and gid in (ANY, entry.gid) for uid, gid in owners):
            said = ", ".join(f"{uid}:{gid}" for uid, gid in sorted(owners))
            yield Difference("owner", path, f"it belongs to {entry.uid}:{entry.gid}, not to {said}", who, layer)

    def _explained(self, path: str, entry: Entry) -> bool:
        """Whether a step makes it, or it stands where a pool lets it."""
        made = self.made
        if made.may(path, "any"):
            return True
        if entry.kind in ("device", "link") and made.may(path, "device"):
            return True
        if entry.kind == "link":
            return (made.may(path, "link") or _is_alternative(entry)) and self._leads_somewhere(path)
        if entry.kind == "file" and made.may(path, "copy") and entry.sha256 in self.digests:
            return True
        return self._pooled(path, entry) or source_of(path, self.tree) is not None

    def _pooled(self, path: str, entry: Entry) -> bool:
        name = path.rpartition("/")[2]
        return any((name, entry.sha256) in pool for prefix, pool in self.pools.items() if path.startswith(f"{prefix}/"))

    def _leads_somewhere(self, path: str) -> bool:
        """Whether a link ends at something that is there."""
        return leads_somewhere(self.real.end(path), self.tree)

    def _is_stale(self, path: str, entry: Entry) -> bool:
        """Whether it is byte code that tells itself that it is of another source: the quick part, see bytecode.py."""
        source = source_of(path, self.tree)
        return source is not None and not _is_fresh(entry, self.tree[source][0])


def source_of(path: str, tree: Mapping[str, tuple[Entry, int]]) -> str | None:
    """The source beside byte code, where it is there."""
    found = BYTECODE.match(path) if path.endswith(".pyc") else None
    source = f"{found['folder']}/{found['name']}.py" if found is not None else ""
    return source if source in tree else None


def _is_fresh(bytecode: Entry, source: Entry) -> bool:
    """Whether byte code says that it was made of this source, or lets Python look before it is used.

    Four bytes each of a magic number, of flags, of the source's time and of its size, or a hash of it:
    https://peps.python.org/pep-0552/
    """
    head = bytes.fromhex(bytecode.head)
    if len(head) < 16:
        return False
    flags, mtime, size = (int.from_bytes(head[start : start + 4], "little") for start in (4, 8, 12))
    if flags & 1:
        return bool(flags & 2)  # a hash counts only where it is compared
    return (mtime, size) == (source.mtime & 0xFFFFFFFF, source.size & 0xFFFFFFFF)


def _who(entries: Sequence[tuple[Entry, str]]) -> str:
    names = list(dict.fromkeys(one for _, one in entries))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


def _is_alternative(entry: Entry) -> bool:
    """Whether a link is one that update-alternatives makes; what it leads to is looked at where that stands."""
    return entry.target.startswith("/etc/alternatives/")


def is_as_promised(entry: Entry, promised: Entry) -> bool:
    """Whether what is there is what is promised, whoever may read it or owns it; of byte code its header may differ."""
    if promised.kind == "ghost":
        return True
    if entry.kind != promised.kind:
        return False
    if entry.kind == "file" and promised.code:
        return promised.code == entry.code
    if entry.kind == "file":
        return promised.sha256 in ("", entry.sha256) and promised.size in (ANY, entry.size)
    return entry.kind != "link" or entry.target == promised.target


class Resolver:
    """Paths with the links of their folders followed, as /bin is /usr/bin."""

    def __init__(self, tree: Mapping[str, tuple[Entry, int]]) -> None:
        self.tree = tree
        self.folder = cache(self._folder)

    def path(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        return f"{self.folder(folder)}/{name}" if name else "/"

    def end(self, path: str) -> str:
        """Where a link ends, links that it leads to included."""
        return self._folder(path)

    def _folder(self, path: str, depth: int = 0) -> str:
        if path in ("", "/"):
            return ""
        parent, _, name = path.rpartition("/")
        here = f"{self._folder(parent, depth)}/{name}"
        found = self.tree.get(here)
        if found is None or found[0].kind != "link" or depth > 40:
            return here
        target = PurePosixPath(here).parent / found[0].target
        parts: list[str] = []
        for part in target.parts:
            if part == "..":
                parts = parts[:-1]
            elif part not in ("/", "."):
                parts.append(part)
        return self._folder("/" + "/".join(parts), depth + 1)


class _Patterns:
    """What steps make, by pattern."""

    def __init__(self, generated: Sequence[Generated]) -> None:
        ways: dict[str, list[str]] = {}
        for one in generated:
            ways.setdefault(one.how, []).append(translate(one.pattern))
        self.ways = {how: re.compile("|".join(patterns)) for how, patterns in ways.items()}

    def may(self, path: str, how: str) -> bool:
        """Whether a step may leave there what `how` says."""
        pattern = self.ways.get(how)
        return pattern is not None and pattern.match(path) is not None
