"""Byte code of an image against its sources, compiled again by the image's own Python.

What runs is accounted for itself: the interpreter must be the one that was locked, it reads no byte code of the image,
and nothing of what is compared runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dsvm.host import Engine, engine_faults, write_whole
from dsvm.ledger import recompile
from dsvm.ledger.comparing import Difference, Resolver, is_as_promised, source_of
from dsvm.ledger.image import Image
from dsvm.model import EngineError, Entry, Tree

TAG = re.compile(r"\.cpython-(?P<major>\d)(?P<minor>\d+)(?:\.opt-(?P<level>[12]))?\.pyc$")
INSIDE = "/.dsvm-recompile"  # of the container in which it is compared
FORM = 1  # of what is kept: what `recompile.py` calls the same

Wanted = Mapping[str, Sequence[tuple[Entry, str]]]
Fetch = Callable[[Sequence[str]], Iterable[tuple[str, bytes]]]  # paths -> path and content of each


class Job(NamedTuple):
    """Byte code to be compared, by paths; `key` is what the outcome depends on."""

    cached: str
    source: str
    level: int
    python: str
    key: str


@dataclass(frozen=True)
class Work:
    """What is to be compared, and what cannot be."""

    jobs: tuple[Job, ...]
    differences: tuple[Difference, ...]


def work_on(tree: Tree, wanted: Wanted, known: Collection[str] = ()) -> Work:
    """The byte code that no artefact has exactly so: it was made in the image, of the source beside it.

    Of what is in `known` it is known already that it was not.
    """
    pythons = _Pythons(tree, wanted)
    jobs, faults = [], {}
    for path, (entry, _) in tree.items():
        found = TAG.search(path) if path.endswith(".pyc") and entry.kind == "file" else None
        source = source_of(path, tree) if found is not None else None
        if found is None or source is None or path in known:
            continue
        if any(is_as_promised(entry, one) for one, _ in wanted.get(path, ())):
            continue
        if tree[source][0].kind == "link" and pythons.real.end(source) in tree:
            source = pythons.real.end(source)
        python = pythons.of(path, f"{found['major']}.{found['minor']}")
        if fault := pythons.fault(python):
            place = python if python in tree else path
            faults[place] = Difference("stale", place, fault, "", tree[place][1])
            continue
        digests = (FORM, entry.sha256, tree[source][0].sha256, tree[python][0].sha256, found["level"])
        key = hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:32]
        jobs.append(Job(path, source, int(found["level"] or 0), python, key))
    return Work(tuple(jobs), tuple(faults.values()))


def differences(
    image: Image,
    tree: Tree,
    wanted: Wanted,
    engine: Engine,
    folder: Path,
    *,
    known: Collection[str] = (),
    fetch: Fetch | None = None,
    echo: Callable[[str], None] = lambda line: None,
) -> Iterator[Difference]:
    """Byte code that is of other code than the source beside it says; what was compared before is not compared again.

    Where `fetch` gives the contents of files, the image has the same Python and nothing else of what is compared.
    Raises EngineError.
    """
    work = work_on(tree, wanted, known)
    yield from work.differences
    places = {layer: _place(folder, image, layer) for layer in {tree[job.cached][1] for job in work.jobs}}
    kept = {layer: _read(place) for layer, place in places.items()}
    left = [job for job in work.jobs if job.key not in kept[tree[job.cached][1]]]
    if not left:
        return
    echo(f"compiling the sources of {len(left)} files of byte code again")
    bad: set[str] = set()
    for python in sorted({job.python for job in left}):
        # equal sources, as environments share them, one after the other
        jobs = sorted((job for job in left if job.python == python), key=lambda job: tree[job.source][0].sha256)
        bad |= _run(image.id, python, jobs, tree, engine, fetch)
    for layer, place in places.items():
        good = {job.key for job in left if tree[job.cached][1] == layer and job.cached not in bad}
        if good:
            write_whole(place, "\n".join(sorted(kept[layer] | good)))
    for job in left:
        if job.cached in bad:
            what = "its source, compiled again, gives other code"
            yield Difference("stale", job.cached, what, "", tree[job.cached][1])


def _place(folder: Path, image: Image, layer: int) -> Path:
    return folder / "bytecode" / image.layers[layer].diff_id.removeprefix("sha256:")


def _read(place: Path) -> set[str]:
    try:
        return set(place.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return set()


class _Pythons:
    """The interpreters of an image."""

    def __init__(self, tree: Tree, wanted: Wanted) -> None:
        self.tree = tree
        self.wanted = wanted
        self.real = Resolver(tree)
        self.seen: dict[tuple[str, str], str] = {}

    def of(self, path: str, version: str) -> str:
        """The interpreter for byte code at `path`: of the environment that this is in, or else the system's."""
        folder = path.rpartition("/")[0]
        if (folder, version) not in self.seen:
            above = f"{folder}/"
            while above and f"{above}bin/python{version}" not in self.tree:
                above = above.rstrip("/").rpartition("/")[0] + "/" if above != "/" else ""
            self.seen[folder, version] = self.real.end(f"{above or '/usr/'}bin/python{version}")
        return self.seen[folder, version]

    def fault(self, python: str) -> str:
        """Why nothing can be compared by it."""
        if python not in self.tree:
            return f"there is no {python} to compile its source again"
        entry = self.tree[python][0]
        if not any(one.sha256 == entry.sha256 for one, _ in self.wanted.get(python, ()) if one.sha256):
            return "no byte code was compared by this Python, which is not one that was locked"
        return ""


def _run(image: str, python: str, jobs: Sequence[Job], tree: Tree, engine: Engine, fetch: Fetch | None) -> set[str]:
    """Paths of the byte code that differs, by the program in a container of the image. Raises EngineError."""
    by_digest = {tree[job.source][0].sha256: job.source for job in jobs}
    rows = [(job.cached, by_digest[tree[job.source][0].sha256], job.level) for job in jobs]
    brought: dict[str, bytes] = {}
    names: dict[str, str] = {}  # of what is brought, there -> here
    if fetch is not None:
        for number, (path, data) in enumerate(fetch(sorted({path for row in rows for path in row[:2]}))):
            names[path] = str(number)
            brought[str(number)] = data

        def place(path: str) -> str:
            return f"{INSIDE}/{names.get(path, '-')}"

        rows = [(place(cached), place(source), level) for cached, source, level in rows]
    options = ("-I", "-S", "-B", "-X", "pycache_prefix=/nonexistent")
    command = (python, *options, f"{INSIDE}/recompile.py", f"{INSIDE}/list.json")
    from docker.errors import DockerException

    text = bytearray()
    with engine_faults(f"comparing byte code in {image}"):
        container = engine.client.containers.create(
            image,
            entrypoint=[*command],
            command=[],
            user="0:0",
            working_dir="/",
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            healthcheck={"test": ["NONE"]},
            auto_remove=True,  # also when nobody waits for it any more
        )
        try:
            program = Path(recompile.__file__).read_bytes()
            files = {"recompile.py": program, "list.json": json.dumps(rows).encode(), **brought}
            container.put_archive("/", _packed(files))
            output = container.attach(stdout=True, stderr=True, stream=True, logs=True)
            container.start()
            for piece in output:
                text += piece
        except BaseException:
            with suppress(DockerException):
                container.remove(force=True)
            raise
    lines = text.decode(errors="replace").splitlines()
    if lines[-1:] != ["done"]:
        raise EngineError(f"{image}: its byte code cannot be compared by {python}:\n" + "\n".join(lines[-10:]))
    here = {f"{INSIDE}/{name}": path for path, name in names.items()}
    return {here.get(path, path) for path in map(json.loads, lines[:-1])}


def _packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            one = tarfile.TarInfo(f"{INSIDE}/{name}".lstrip("/"))
            one.size, one.mode = len(data), 0o644
            tar.addfile(one, io.BytesIO(data))
    return out.getvalue()
