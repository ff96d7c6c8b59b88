"""What the registry of npm is asked for, by npm where it has to solve, and the files that come of it."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsvm.ecosystems.npm.tree import (
    NEEDS,
    Entry,
    bare,
    registry_path,
)
from dsvm.ecosystems.protocol import (
    Context,
)
from dsvm.host import bounded, bundled, run
from dsvm.model import LockError, Pin, ProgramError

if TYPE_CHECKING:
    pass


LOCK_FILES = ("npm-shrinkwrap.json", "package-lock.json")
MOST = 64 << 20  # bytes of a JSON file in a package
# How npm is set up on this host may not change what a lock says: only where packages come from stays its own.
SETTINGS = {
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
    "npm_config_ignore_scripts": "true",
    "npm_config_omit_lockfile_registry_resolved": "false",
    "npm_config_package_lock": "true",
    "npm_config_loglevel": "error",
}


def split(spec: str) -> tuple[str, str]:
    name = bare(spec)
    return name, spec[len(name) + 1 :]


def needs_of(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Packages that a package.json may have installed, under their own names: `a: npm:b@1` is b."""
    for key in NEEDS:
        for name, wanted in (manifest.get(key) or {}).items():
            yield split(wanted.removeprefix("npm:"))[0] if wanted.startswith("npm:") else name


def _settings(context: Context) -> dict[str, str]:
    return {**SETTINGS, "npm_config_registry": context.host.npm_registry()}


def view(spec: str, context: Context, *, timeout: float = 300) -> Entry:
    """The newest version that satisfies `spec`, from the registry."""
    done = run(
        [bundled("npm"), "view", spec, "name", "version", "dist", "--json"],
        env=_settings(context),
        timeout=timeout,
        check=False,
    )
    try:
        answer = json.loads(done.stdout or "[]")
    except json.JSONDecodeError:
        answer = {"error": {"summary": done.stdout.strip()}}
    if isinstance(answer, Mapping) and "error" in answer:
        raise LockError(
            f"{spec}: npm says: {answer['error'].get('summary')}",
            hint="See the machine's npm configuration: npm config list",
        )
    found = answer if isinstance(answer, list) else [answer]
    if done.returncode != 0 or not found:
        raise LockError(f"{spec}: npm finds no such version", hint=done.stderr.strip())
    best = max(found, key=lambda one: _order(one["version"]))
    dist = best["dist"]
    return Entry("", best["name"], best["version"], dist.get("integrity"), dist["tarball"], False)


def _order(version: str) -> tuple[tuple[int, ...], bool]:
    """Sorts versions by their numbers, a pre-release before its release."""
    core, _, before = version.partition("+")[0].partition("-")
    return tuple(int(part) for part in core.split(".")), not before


def pin_of(entry: Entry, context: Context) -> Pin:
    file = registry_path(entry.url, entry.name, entry.version)
    registry = context.host.npm_registry().rstrip("/")
    sha256, size = context.store.download(
        [f"{registry}/{file}"],
        name=file,
        host=context.host,
        verify=check_integrity(entry.integrity) if entry.integrity else None,
        key=entry.integrity,
    )
    return Pin(
        name=entry.name,
        version=entry.version,
        file=file,
        size=size,
        sha256=sha256,
        registry="npm",
        integrity=entry.integrity,
    )


def check_integrity(integrity: str) -> Callable[[Path], str | None]:
    """A check that a file has one of npm's digests (`sha512-BASE64`, separated by blanks): what is wrong, or None."""
    digests = {tuple(word.partition("?")[0].split("-", 1)) for word in integrity.split()}
    kinds = sorted({kind for kind, *_ in digests} & {"sha512", "sha384", "sha256", "sha1"})

    def check(path: Path) -> str | None:
        found = set()
        for kind in kinds:
            with path.open("rb") as file:
                found.add((kind, base64.b64encode(hashlib.file_digest(file, kind).digest()).decode()))
        if found & digests:
            return None
        return f"npm's index says {integrity}, the file is {' '.join('-'.join(one) for one in sorted(found))}"

    return check


def documents(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(folder, file name, content) of the JSON files called `names` that are the package's own, not others' in it.

    Raises LockError for a file that is no such archive, and for what is no JSON in it.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in bounded(tar):
                # the archive's top folder may have any name
                folder, _, file = member.name.partition("/")[2].rpartition("/")
                if file not in names or "node_modules" in folder.split("/") or member.size > MOST:
                    continue
                if stream := tar.extractfile(member):
                    content = json.load(stream)
                    if isinstance(content, dict):
                        yield folder, file, content
    except (ValueError, KeyError, OSError, EOFError, RecursionError, tarfile.TarError, zlib.error) as error:
        raise LockError(f"{archive.name}: no npm package: {type(error).__name__}: {error}") from error


def manifests_and_locks(
    archive: Path, roots: Sequence[str], name: str
) -> dict[str, tuple[dict[str, Any], dict[str, Any] | None]]:
    """Folder -> package.json there in the program's archive, and its lock file when it ships one.

    Raises LockError for a folder without a package.json.
    """
    files = documents(archive, ("package.json", *LOCK_FILES))
    found = {(folder, file): content for folder, file, content in files if folder in roots}
    missing = [root or "." for root in roots if (root, "package.json") not in found]
    if missing:
        raise LockError(f"{name} has no {missing[0]}/package.json", hint="Correct 'nested' of the tool's npm source")
    return {
        root: (
            found[root, "package.json"],
            next((found[root, file] for file in LOCK_FILES if (root, file) in found), None),
        )
        for root in roots
    }


def solve(manifest: Mapping[str, Any], work: Path, name: str, context: Context) -> dict[str, Any]:
    """The lock file that npm makes for a package.json."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "package-lock.json").unlink(missing_ok=True)
    (work / "package.json").write_text(json.dumps(manifest))
    try:
        run(
            [bundled("npm"), "install", "--package-lock-only", "--omit=dev"],
            env=_settings(context),
            cwd=work,
            timeout=600,
        )
    except ProgramError as error:
        raise LockError(f"npm finds no solution for {name}:\n{error.output.strip()}") from error
    lock: dict[str, Any] = json.loads((work / "package-lock.json").read_text())
    return lock
