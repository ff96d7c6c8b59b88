"""PyPI: which wheels fit a base, which index a package comes from, where a locked file may be."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from beyond import beyond
from packaging.tags import Tag
from pydantic import TypeAdapter, ValidationError
from server import Resource, Server
from tiny import project

from dsvm.ecosystems import Context, Request
from dsvm.ecosystems.pypi import ecosystem as pypi
from dsvm.ecosystems.pypi import indexes
from dsvm.ecosystems.pypi import platforms as pypi_platforms
from dsvm.ecosystems.pypi.requested import Sdist
from dsvm.host import Host
from dsvm.model import Index, LockError, Pin, Section, StoreError
from dsvm.store import Store

BASE = project().bases["debian-12"]


def wheel(
    name: str,
    version: str,
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    license: str = "",
    files: Mapping[str, str | bytes] = MappingProxyType({}),
) -> tuple[str, bytes]:
    """File name and bytes of a real wheel, of nothing but itself and `files`; a folder `*.dist-info` is its own."""
    data = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    metadata += f"License-Expression: {license}\n" if license else ""
    inside: dict[str, str | bytes] = {
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nTag: {tag}\nRoot-Is-Purelib: true\n",
        **{path.replace("*.dist-info", info): content for path, content in files.items()},
    }
    with zipfile.ZipFile(data, "w") as archive:
        for path, content in inside.items():
            archive.writestr(path, content)
        lines = (f"{path},{_recorded(content)}\n" for path, content in inside.items())
        archive.writestr(f"{info}/RECORD", "".join(lines) + f"{info}/RECORD,,\n")
    return f"{name}-{version}-{tag}.whl", data.getvalue()


def _recorded(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest},{len(data)}"


def index(folder: Path, *wheels: tuple[str, bytes]) -> str:
    """A simple index in `folder`; returns its file: URL."""
    pages: dict[str, list[str]] = {}
    (folder / "files").mkdir(parents=True, exist_ok=True)
    for name, data in wheels:
        (folder / "files" / name).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        link = f'<a href="../../files/{name}#sha256={sha256}">{name}</a>'
        pages.setdefault(name.split("-")[0], []).append(link)
    for package, links in pages.items():
        page = folder / "simple" / package / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>")
    return (folder / "simple").as_uri()


def context(tmp_path: Path, *indexes: str, find_links: Path | None = None) -> Context:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    environ = {"HOME": str(home), "PIP_INDEX_URL": indexes[0], "PIP_EXTRA_INDEX_URL": " ".join(indexes[1:])}
    if find_links is not None:
        environ["PIP_FIND_LINKS"] = str(find_links)
    host = Host(environ=environ, etc=tmp_path / "etc")
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return Context(base=BASE, host=host, store=Store(tmp_path / "store"), work=work)


def resolve(context: Context, *wanted: str, **more: object) -> dict[str, Pin]:
    request = Request("env-x", "x", (wanted,), **more)  # type: ignore[arg-type]
    pins, extra = pypi.ECOSYSTEM.resolve(request, context)
    assert beyond("pypi", request, context, pins, extra) == []
    return {pin.name: pin for pin in pins}


def test_tags_of_a_base_hold_its_glibc_and_older_ones_and_nothing_newer() -> None:
    tags = list(pypi_platforms.wheel_tags(BASE))
    platforms = {tag.platform for tag in tags}
    assert "manylinux_2_36_x86_64" in platforms
    assert "manylinux2014_x86_64" in platforms
    assert "manylinux_2_37_x86_64" not in platforms
    best, worst = Tag("cp311", "cp311", "manylinux_2_36_x86_64"), Tag("py3", "none", "any")
    assert tags.index(best) < tags.index(worst)
    assert Tag("cp311", "abi3", "manylinux_2_17_x86_64") in tags
    assert not any(tag.interpreter == "cp312" for tag in tags)


def test_what_fits_is_locked_with_size_and_hash_and_without_a_host(tmp_path: Path) -> None:
    name, data = wheel("one", "1.0", requires=("two >= 1",))
    url = index(
        tmp_path / "index",
        (name, data),
        wheel("two", "1.5", "cp311-cp311-manylinux_2_17_x86_64"),
        wheel("two", "1.5", "cp312-cp312-manylinux_2_17_x86_64"),
        wheel("two", "1.6", "cp311-cp311-manylinux_2_99_x86_64"),
    )
    pins = resolve(context(tmp_path, url), "one")
    assert pins["one"].file == name
    assert (pins["one"].size, pins["one"].sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert pins["two"].file == "two-1.5-cp311-cp311-manylinux_2_17_x86_64.whl"
    assert {pin.registry for pin in pins.values()} == {"pypi"}


@pytest.mark.parametrize("name", [name for name, base in project().bases.items() if "python" in base.runtimes])
def test_the_solver_knows_every_base_that_has_python(tmp_path: Path, name: str) -> None:
    base = project().bases[name]
    tag = f"cp{base.python.replace('.', '')}"
    fits, does_not = ("win_amd64", "win_arm64") if base.platform == "windows" else ("2_28", "2_99")
    platforms = [one if "win" in one else f"manylinux_{one}_x86_64" for one in (fits, does_not)]
    url = index(
        tmp_path / "index",
        *(wheel("one", f"1.{minor}", f"{tag}-{tag}-{platform}") for minor, platform in enumerate(platforms)),
    )
    pins = resolve(replace(context(tmp_path, url), base=base), "one")
    assert pins["one"].version == "1.0"


def test_all_indexes_of_the_machine_count_the_same(tmp_path: Path) -> None:
    first = index(tmp_path / "a", wheel("one", "1.0"))
    second = index(tmp_path / "b", wheel("one", "2.0"))
    assert resolve(context(tmp_path, first, second), "one")["one"].version == "2.0"
    assert resolve(context(tmp_path, second, first), "one")["one"].version == "2.0"


def told(here: Context) -> tuple[Context, list[str], list[str]]:
    """The context, with what is said and what is warned of."""
    said: list[str] = []
    warned: list[str] = []
    return replace(here, echo=said.append, warn=warned.append), said, warned


def test_a_package_of_an_extra_index_says_so_in_the_lock_and_who_else_has_its_name(tmp_path: Path) -> None:
    """Dependency confusion: 99.0 of a name that somebody registered elsewhere."""
    first = index(tmp_path / "a", wheel("one", "1.0", requires=("two",)), wheel("two", "1.0"), wheel("three", "3.0"))
    second = index(tmp_path / "b", wheel("two", "99.0"), wheel("own", "1.0"))
    here, said, warned = told(context(tmp_path, first, second))
    pins = resolve(here, "one", "three", "own")
    assert {name: pin.registry for name, pin in pins.items()} == {
        "one": "pypi", "three": "pypi", "two": "pypi-extra", "own": "pypi-extra"
    }  # fmt: skip
    assert said == ["env-x: 2 of 4 packages come from extra indexes: own, two"]
    (warning,) = warned
    assert f"two: 99.0 of {second} was taken, and the ordinary index has this name too" in warning
    assert "own:" not in warning and "everywhere: true" in warning


def test_a_name_that_an_extra_index_has_in_an_older_version_is_said_as_well(tmp_path: Path) -> None:
    first, second = (index(tmp_path / name, wheel("one", version)) for name, version in (("a", "2.0"), ("b", "1.0")))
    folder = tmp_path / "wheels"
    folder.mkdir()
    name, data = wheel("one", "0.5")
    (folder / name).write_bytes(data)
    here, said, warned = told(context(tmp_path, first, second, find_links=folder))
    assert resolve(here, "one")["one"].registry == "pypi"
    assert said == []
    assert f"one: {second}, {folder} has this name too; 2.0 of the ordinary index was taken" in warned[0]


def test_with_one_index_nobody_is_asked_twice(tmp_path: Path) -> None:
    here, said, warned = told(context(tmp_path, index(tmp_path / "a", wheel("one", "1.0"))))
    assert resolve(here, "one")["one"].registry == "pypi"
    assert (said, warned) == ([], [])


def test_an_index_that_binds_a_name_everywhere_serves_it_to_whoever_needs_it(tmp_path: Path) -> None:
    first = index(tmp_path / "a", wheel("one", "1.0", requires=("two",)), wheel("two", "99.0"))
    second = index(tmp_path / "b", wheel("two", "1.0"))
    bound = {"ours": Index(index="ours", url=second, packages=("two",), everywhere=True)}
    here, _, warned = told(replace(context(tmp_path, first), indexes=bound))
    pins = resolve(here, "one", indexes=("ours",))
    assert (pins["two"].version, pins["two"].registry) == ("1.0", "ours")
    assert warned == []


def test_a_kernel_s_environment_gets_a_kernel_and_pip(tmp_path: Path) -> None:
    url = index(tmp_path / "index", wheel("one", "1.0"), wheel("ipykernel", "7.0"), wheel("pip", "26.0"))
    assert set(resolve(context(tmp_path, url), "one", kernel=True)) == {"one", "ipykernel", "pip"}
    assert set(resolve(context(tmp_path, url), "one")) == {"one"}


def special(url: str) -> dict[str, Index]:
    return {"special": Index(index="special", url=url, packages=("one",), local="cpu")}


def test_a_named_index_alone_serves_its_packages(tmp_path: Path) -> None:
    main = index(tmp_path / "main", wheel("one", "9.0"), wheel("two", "1.0"))
    other = index(tmp_path / "other", wheel("one", "1.0+cpu"), wheel("two", "9.0"))
    here = replace(context(tmp_path, main), indexes=special(other))
    pins = resolve(here, "one", "two", indexes=("special",))
    assert (pins["one"].version, pins["one"].registry) == ("1.0+cpu", "special")
    assert (pins["two"].version, pins["two"].registry) == ("1.0", "pypi")


def test_find_links_stand_in_for_a_named_index_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")  # nobody will ever answer
    main = index(tmp_path / "main", wheel("one", "9.0"))
    folder = tmp_path / "wheels"
    folder.mkdir()
    name, data = wheel("one", "1.0+cpu")
    (folder / name).write_bytes(data)
    here = replace(context(tmp_path, main, find_links=folder), indexes=special("http://127.0.0.1:9/simple"))
    pin = resolve(here, "one", indexes=("special",))["one"]
    assert (pin.version, pin.registry, pin.file) == ("1.0+cpu", "special", name)
    assert list(pypi.ECOSYSTEM.locate(pin, here)) == [(folder / name).as_uri()]


def test_another_build_than_a_named_index_promises_is_refused(tmp_path: Path) -> None:
    """A GPU wheel inside a 'CPU' index, or the other way round, never gets into a lock silently."""
    main = index(tmp_path / "main", wheel("two", "1.0"))
    other = index(tmp_path / "other", wheel("one", "1.0+cu130"))
    here = replace(context(tmp_path, main), indexes=special(other))
    with pytest.raises(LockError, match="is not a 'cpu' build"):
        resolve(here, "one", indexes=("special",))


def test_no_solution_comes_with_the_solver_s_explanation(tmp_path: Path) -> None:
    url = index(tmp_path / "index", wheel("one", "1.0", requires=("two >= 5",)), wheel("two", "1.0"))
    with pytest.raises(LockError, match=r"(?s)no set of packages satisfies env-x.*two") as caught:
        resolve(context(tmp_path, url), "one")
    assert caught.value.exit_code == 3


def test_a_locked_file_is_found_by_name_and_hash_on_a_served_index(tmp_path: Path, server: Server) -> None:
    name, data = wheel("one", "1.0")
    sha256 = hashlib.sha256(data).hexdigest()
    page = {
        "meta": {"api-version": "1.0"},
        "name": "one",
        "files": [
            {"filename": name, "url": "../../files/other", "hashes": {"sha256": "0" * 64}},
            {"filename": name, "url": "../../files/right", "hashes": {"sha256": sha256}},
            {"filename": "one-0.9-py3-none-any.whl", "url": "../../files/old", "hashes": {}},
        ],
    }
    headers = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
    server.add("/simple/one/", Resource(json.dumps(page).encode(), headers=headers))
    here = context(tmp_path, f"{server.url}/simple")
    pin = Pin(name="one", version="1.0", file=name, size=len(data), sha256=sha256, registry="pypi")
    assert list(pypi.ECOSYSTEM.locate(pin, here)) == [f"{server.url}/files/{one}" for one in ("right", "other")]


@pytest.mark.parametrize("kind", ["json", "html", "file"])
def test_names_and_digests_are_those_of_the_page_in_each_of_its_forms(
    tmp_path: Path, server: Server, kind: str
) -> None:
    files = {"one-1.0-py3-none-any.whl": "1" * 64, "one-0.9.tar.gz": None}
    host = context(tmp_path, f"{server.url}/simple").host
    links = "".join(f'<a href="x/{name}{f"#sha256={sha}" if sha else ""}">{name}</a>' for name, sha in files.items())
    listed = [{"filename": name, "url": name, "hashes": {"sha256": sha} if sha else {}} for name, sha in files.items()]
    page = {"meta": {"api-version": "1.0"}, "name": "one", "files": listed}
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "index.html").write_text(links)
    content, form = (json.dumps(page), "application/json") if kind == "json" else (links, "text/html")
    url = server.add("/simple/one/", Resource(content.encode(), headers={"Content-Type": form}))
    url = (tmp_path / "one").as_uri() if kind == "file" else url
    found = indexes.digests_of(host, url)
    assert dict(found) == files == {name: sha256 for name, _, sha256 in indexes.page_files(host, url)}
    assert indexes.digests_of(host, (tmp_path / "two").as_uri() if kind == "file" else f"{server.url}/two/") == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": 1}', '{"files": [1]}', '{"files": [{"filename": "x", "hashes": 1}]}']
)
def test_a_page_that_is_none_is_a_fault(tmp_path: Path, server: Server, text: str) -> None:
    url = server.add("/simple/one/", Resource(text.encode(), headers={"Content-Type": "application/json"}))
    with pytest.raises(StoreError, match="simple/one"):
        indexes.digests_of(context(tmp_path, f"{server.url}/simple").host, url)


def test_an_index_that_refuses_is_a_fault_and_not_a_missing_file(tmp_path: Path, server: Server) -> None:
    here = context(tmp_path, f"{server.url}/simple")
    pin = Pin(name="one", version="1.0", file="one.whl", size=1, sha256="0" * 64, registry="pypi")
    assert list(pypi.ECOSYSTEM.locate(pin, here)) == []
    server.add("/simple/one/", Resource(statuses=[403]))
    with pytest.raises(StoreError, match="HTTP 403"):
        list(pypi.ECOSYSTEM.locate(pin, here))


@pytest.mark.parametrize("text", ["a @ https://example.invalid/a.whl", "-r file", "a b", "", "--index-url=x", "a;id"])
def test_only_requirements_are_requests(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(pypi.ECOSYSTEM.request_type).validate_python([text])


# --- packages that come as source ------------------------------------------------------------------------------

SETUP = "import pathlib\npathlib.Path({touched!r}).touch()\nfrom setuptools import setup\nsetup()\n"


def sdist(
    name: str, version: str, metadata: str | None = "2.4", requires: tuple[str, ...] = (), touched: Path | None = None
) -> tuple[str, bytes]:
    """File name and bytes of a source distribution; its own program leaves `touched` behind when it runs.

    `metadata` is the version of its PKG-INFO, which it lacks when that is None.
    """
    info = f"Metadata-Version: {metadata}\nName: {name}\nVersion: {version}\nProvides-Extra: more\n"
    info += "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {
        "src/other/PKG-INFO": "Name: other\n",
        **({"PKG-INFO": info} if metadata else {}),
        "setup.py": SETUP.format(touched=str(touched)),
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return f"{name}-{version}.tar.gz", data.getvalue()


def as_source(text: str) -> Sdist:
    return Sdist(sdist=text)


def with_source(context: Context, *wanted: str | Sdist) -> tuple[dict[str, Pin], object]:
    request = Request("env-x", "x", (wanted,), builds=("one-build-pypi",))
    pins, extra = pypi.ECOSYSTEM.resolve(request, context)
    assert beyond("pypi", request, context, pins, extra) == []
    return {pin.name: pin for pin in pins}, extra


def test_a_source_is_locked_with_what_it_says_it_needs_and_nothing_of_it_runs(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    needs = ("two < 2", 'three; extra == "more"', 'four; python_version < "3"')
    url = index(
        tmp_path / "index",
        sdist("one", "1.0"),
        sdist("one", "1.1", requires=needs, touched=touched),
        *(wheel(name, version) for name in ("two", "three", "four") for version in ("1.0", "2.0")),
    )
    here = context(tmp_path, url)
    pins, extra = with_source(here, as_source("one ~= 1.0"))
    assert {name: pin.version for name, pin in pins.items()} == {"one": "1.1", "two": "1.0"}
    assert (pins["one"].file, pins["one"].registry) == ("one-1.1.tar.gz", "pypi")
    assert extra == {"builds": ["one-build-pypi"]}
    pins, _ = with_source(here, as_source("one[more] ~= 1.0"), "two")
    assert {name: pin.version for name, pin in pins.items()} == {"one": "1.1", "two": "1.0", "three": "2.0"}
    assert not touched.exists()
    assert list(pypi.ECOSYSTEM.locate(pins["one"], here)) == [f"{url.removesuffix('simple')}files/one-1.1.tar.gz"]


def test_a_wheel_is_taken_where_there_is_none_of_the_source(tmp_path: Path) -> None:
    """Only what a manifest names may come as source, and what it needs may not."""
    url = index(tmp_path / "index", sdist("one", "1.0", requires=("two",)), sdist("two", "1.0"), wheel("three", "1.0"))
    here = context(tmp_path, url)
    with pytest.raises(LockError, match=r"one==1\.0 has no usable wheels"):
        resolve(here, "one")
    with pytest.raises(LockError, match=r"two==1\.0 has no usable wheels"):
        with_source(here, as_source("one"))
    assert set(with_source(here, as_source("one"), as_source("two"))[0]) == {"one", "two"}
    assert pypi.ECOSYSTEM.probe((as_source("one"), as_source("two")), None, here) is None
    assert "no usable wheels" in str(pypi.ECOSYSTEM.probe(("one",), None, here))


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (sdist("one", "1.0", metadata="2.1"), "metadata is of version 2.1"),
        (("one-1.0.tar.gz", b"nonsense"), "no source distribution"),
        (("one-1.0.tar.gz", sdist("one", "1.0")[1][:60]), "no source distribution"),
        (sdist("one", "1.0", metadata=None), "no source distribution: it has no PKG-INFO"),
    ],
)
def test_a_source_that_does_not_say_what_it_needs_is_refused(
    tmp_path: Path, file: tuple[str, bytes], what: str
) -> None:
    here = context(tmp_path, index(tmp_path / "index", file))
    with pytest.raises(LockError, match=rf"one-1\.0\.tar\.gz: .*{what}"):
        with_source(here, as_source("one"))


def test_a_source_without_anything_that_builds_it_is_refused(tmp_path: Path) -> None:
    here = context(tmp_path, index(tmp_path / "index", sdist("one", "1.0")))
    with pytest.raises(LockError, match="nothing says what builds one") as caught:
        pypi.ECOSYSTEM.resolve(Request("env-x", "x", ((as_source("one"),),)), here)
    assert "build: {pypi: [setuptools]}" in caught.value.hint


def test_the_part_with_a_source_alone_gets_what_builds_it(tmp_path: Path) -> None:
    url = index(tmp_path / "index", sdist("one", "1.0"), *(wheel(f"w{number}", "1.0") for number in range(20)))
    pins, extra = with_source(context(tmp_path, url), as_source("one"), *(f"w{number}" for number in range(20)))
    assert isinstance(extra, dict)
    section = Section(
        id="env-x",
        ecosystem="pypi",
        request=None,
        input="0" * 64,
        epoch=1,
        pins=tuple(pins.values()),
        extra={"env": "x", **extra},
    )
    parts = pypi.ECOSYSTEM.parts(section)
    assert len(parts) > 2
    for part in parts:
        step = pypi.ECOSYSTEM.install(part, BASE)
        builds = any(pin.name == "one" for pin in part.pins)
        assert ("one-build-pypi" in step.sections) == builds
        assert (("--build", "one-build-pypi") in zip(step.args, step.args[1:], strict=False)) == builds


def test_who_is_in_a_hurry_asks_a_server_that_fails_once(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_HTTP_RETRIES", raising=False)
    server.add("/simple/one/", Resource(statuses=[503] * 9))
    here = replace(context(tmp_path, f"{server.url}/simple"), once=True)
    assert "503" in str(pypi.ECOSYSTEM.probe(("one",), None, here))
    assert len(server.seen("/simple/one/")) == 1
