"""conda: requests, where channels are, solving; then lock, fetch, link and list a small environment for real."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import rattler
from beyond import beyond
from conda_channel import Link, fill, publish, reindex
from held import differences, image_of, promised
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from server import Resource, Server

from dsvm.ecosystems import Asked, Context, Request
from dsvm.ecosystems.conda import ecosystem as conda
from dsvm.host import Host, channel_urls, expand, redact
from dsvm.ledger.comparing import is_as_promised
from dsvm.model import Base, InputError, LockError, Pin, Section, canonical_json
from dsvm.store import Store, Want

INSTALL = Path(__file__).parents[2] / "scripts/image/install-conda"
EPOCH = 1_700_000_000
BASE = Base(base="debian-12", summary="", os="debian", release="12", glibc="2.36", python="3.11")
SYSTEM_PYTHON = Path("/usr/bin/python3")


# --- the request -------------------------------------------------------------------------------------------


@given(st.from_regex(conda.PLAIN, fullmatch=True))
def test_what_is_taken_without_a_parser_rattler_takes_too(text: str) -> None:
    assert rattler.MatchSpec(text, strict=True).channel is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packages": []}, "at least 1 item"),
        ({"packages": ["a b c d"]}, "'a b c d' is not a conda package"),
        ({"packages": ["other::a"]}, "says no place here"),
        ({"packages": ["https://example.org/noarch/a-1-0.conda"]}, "says no place here"),
        ({"packages": ["a[url='https://example.org/noarch/a-1-0.conda']"]}, "says no place here"),
        ({"packages": ["__glibc"]}, "virtual package"),
        ({"packages": ["a\nRUN x"]}, "not a conda package"),
        ({"channels": ["https://example.org/a"]}, "pattern"),
        ({"channels": ["../a"]}, "pattern"),
        ({"channels": []}, "at least 1 item"),
        ({"prefix": "/usr"}, "pattern"),
        ({"prefix": "/opt/../etc"}, "pattern"),
        ({"prefix": "/opt/envs"}, "for the environments of pypi"),
        ({"commands": ["../../bin/sh"]}, "pattern"),
        ({"commands": ["a b"]}, "pattern"),
        ({"cuda": "13"}, "pattern"),
        ({"command": ["a"]}, "Extra inputs"),
    ],
)
def test_a_request_is_data_inside_its_prefix(change: Mapping[str, Any], message: str) -> None:
    conda.Environment.model_validate({"packages": ["a"], "prefix": "/opt/a"})
    with pytest.raises(ValidationError, match=message):
        conda.Environment.model_validate({"packages": ["a"], "prefix": "/opt/a", **change})


NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,12}[a-z0-9]", fullmatch=True)
VERSIONS = st.sampled_from(
    ["", " ==1.2", " >=1,<2", ">=1", "=1.2", "~=1.4", " 1.2.* py*", "[version='>=2']", "!=3", "<4"]
)


@given(NAMES, VERSIONS)
def test_the_package_of_a_request(name: str, version: str) -> None:
    request = conda.Environment(packages=(name + version,), prefix="/opt/a")
    assert conda.ECOSYSTEM.package(request) == name
    assert rattler.MatchSpec(name + version, strict=True).name.normalized == name


# --- where channels are ------------------------------------------------------------------------------------


def host(home: Path, **environ: str) -> Host:
    return Host(environ={"HOME": str(home), **environ}, etc=home / "etc")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_unconfigured_machine_takes_rattler_s_own_place(tmp_path: Path) -> None:
    (url,) = channel_urls(host(tmp_path), "conda-forge")
    assert url + "/" == rattler.Channel("conda-forge").base_url


def test_defaults_stands_for_its_channels() -> None:
    assert expand(("conda-forge", "defaults", "r")) == ("conda-forge", "main", "r")


@pytest.mark.parametrize(
    ("text", "channel", "urls"),
    [
        ("channel_alias: https://m.invalid/conda/", "conda-forge", ["https://m.invalid/conda/conda-forge"]),
        ("custom_channels: {conda-forge: https://m.invalid/c}", "conda-forge", ["https://m.invalid/c/conda-forge"]),
        (
            "mirrored_channels: {conda-forge: [https://a.invalid/cf, https://b.invalid/cf/]}",
            "conda-forge",
            ["https://a.invalid/cf", "https://b.invalid/cf"],
        ),
        ("default_channels: [https://m.invalid/pkgs/main, https://m.invalid/pkgs/r]", "r", ["https://m.invalid/pkgs/r"]),
        ("channels: [https://m.invalid/api/conda-forge/, other]", "conda-forge", ["https://m.invalid/api/conda-forge"]),
        ("channels: [https://m.invalid/my-conda-forge]\nchannel_alias: https://x.invalid", "conda-forge",
         ["https://x.invalid/conda-forge"]),
        ("channel_alias: https://u:${TOKEN}@m.invalid", "a", ["https://u:secret@m.invalid/a"]),
    ],
)  # fmt: skip
def test_condarc_says_where_a_channel_is(tmp_path: Path, text: str, channel: str, urls: list[str]) -> None:
    write(tmp_path / ".condarc", text)
    assert list(channel_urls(host(tmp_path, TOKEN="secret"), channel)) == urls


def test_later_files_and_variables_win(tmp_path: Path) -> None:
    write(tmp_path / "etc/conda/condarc.d/company.yml", "channel_alias: https://etc.invalid")
    assert channel_urls(host(tmp_path), "a") == ("https://etc.invalid/a",)
    write(tmp_path / ".config/conda/.mambarc", "channel_alias: https://user.invalid")
    assert channel_urls(host(tmp_path), "a") == ("https://user.invalid/a",)
    write(tmp_path / "own.yaml", "channel_alias: https://own.invalid")
    own = host(tmp_path, CONDARC=str(tmp_path / "own.yaml"))
    assert channel_urls(own, "a") == ("https://own.invalid/a",)
    variable = host(tmp_path, CONDARC=str(tmp_path / "own.yaml"), CONDA_CHANNEL_ALIAS="https://env.invalid")
    assert channel_urls(variable, "a") == ("https://env.invalid/a",)
    sources = dataclasses.replace(variable, sources={"a": ("https://dsvm.invalid/a",)})
    assert channel_urls(sources, "a") == ("https://dsvm.invalid/a",)


def test_mirrors_of_rattler_and_pixi_take_the_place_of_what_they_mirror(tmp_path: Path) -> None:
    write(tmp_path / ".condarc", "channel_alias: https://x.invalid/")
    write(
        tmp_path / ".pixi/config.toml",
        '[mirrors]\n"https://x.invalid" = ["https://y.invalid/all"]\n'
        '"https://x.invalid/conda-forge" = ["https://a.invalid/cf/", "https://x.invalid/conda-forge"]\n',
    )
    assert channel_urls(host(tmp_path), "conda-forge") == (
        "https://a.invalid/cf", "https://x.invalid/conda-forge",
    )  # fmt: skip
    assert channel_urls(host(tmp_path), "conda-forge-more") == ("https://y.invalid/all/conda-forge-more",)


@pytest.mark.parametrize(
    ("path", "text"), [(".condarc", "a: ["), (".condarc", "[]"), (".config/rattler/config.toml", "a = [")]
)
def test_a_broken_configuration_is_named(tmp_path: Path, path: str, text: str) -> None:
    write(tmp_path / path, text)
    with pytest.raises(InputError, match=path.rpartition("/")[2]):
        channel_urls(host(tmp_path), "a")


def test_a_channel_s_token_is_not_shown() -> None:
    assert redact("https://m.invalid/t/se-cr-et/conda-forge: gone") == "https://m.invalid/t/***/conda-forge: gone"


# --- a small channel, for real -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = subprocess.run([SYSTEM_PYTHON, "--version"], capture_output=True, text=True, check=True)
    return fill(tmp_path_factory.mktemp("conda") / "channel", found.stdout.split()[1])


@pytest.fixture
def mirror(server: Server, channel: Path) -> Server:
    """The channel by HTTP, as a company's mirror serves it."""
    for path in channel.rglob("*"):
        if path.is_file():
            server.add(f"/conda-forge/{path.relative_to(channel)}", Resource(path.read_bytes()))
    return server


@pytest.fixture
def context(mirror: Server, tmp_path: Path) -> Context:
    write(tmp_path / "home/.condarc", f"channel_alias: {mirror.url}")
    here = host(tmp_path / "home")
    return Context(base=BASE, host=here, store=Store(tmp_path / "store"), work=tmp_path / "work")


ASKED = conda.Environment(packages=("tool >=1", "pure"), prefix="/opt/conda", commands=("tool", "pure"))


def resolve(context: Context, asked: conda.Environment = ASKED) -> Section:
    request = Request("conda-conda", "base", (asked,))
    pins, extra = conda.ECOSYSTEM.resolve(request, context)
    assert beyond("conda", request, context, pins, extra) == []
    return Section(
        id="conda-conda",
        ecosystem="conda",
        tools=("conda",),
        request=asked.model_dump(mode="json"),
        input="0" * 64,
        epoch=EPOCH,
        pins=tuple(pins),
        extra=dict(extra),
    )


def test_resolve_pins_every_package_and_names_no_host(context: Context, mirror: Server) -> None:
    section = resolve(context)
    files = {pin.name: pin.file for pin in section.pins}
    assert files.pop("python").startswith("linux-64/python-3.")
    assert files == {
        "base-files": "linux-64/base-files-1.2-h0_0.conda",
        "pure": "noarch/pure-2.1-pyh0_0.conda",
        "tool": "linux-64/tool-1.0-h0_0.tar.bz2",
    }
    assert [pin.name for pin in section.pins] == sorted(pin.name for pin in section.pins)
    for pin in section.pins:
        content = mirror.resources[f"/conda-forge/{pin.file}"].content
        assert (pin.sha256, pin.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert pin.registry == "conda-forge"
        assert list(conda.ECOSYSTEM.locate(pin, context)) == [f"{mirror.url}/conda-forge/{pin.file}"]
        assert conda.ECOSYSTEM.file_name(pin) == pin.file.split("/")[1]
    text = canonical_json(section)
    assert "127.0.0.1" not in text
    assert "://" not in text
    assert canonical_json(resolve(context)) == text
    indexes = [request.path for request in mirror.requests if "repodata" in request.path]
    assert indexes == [f"/conda-forge/{subdir}/repodata.json.zst" for subdir in ("linux-64", "noarch")], "once each"


def test_a_channel_without_a_packed_index_is_read_too(context: Context, mirror: Server) -> None:
    whole = resolve(context)
    for subdir in ("linux-64", "noarch"):
        del mirror.resources[f"/conda-forge/{subdir}/repodata.json.zst"]
    plain = resolve(dataclasses.replace(context, work=context.work / "other"))
    assert plain == whole


def test_a_channel_in_a_folder_is_read_too(context: Context, channel: Path) -> None:
    here = dataclasses.replace(context.host, sources={"conda-forge": (channel.as_uri(),)})
    section = resolve(dataclasses.replace(context, host=here))
    assert section == resolve(dataclasses.replace(context, work=context.work / "other"))


def test_the_first_channel_that_has_a_package_is_its_place(context: Context, channel: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    publish(other, "tool", "3.0", {"share/other": ""})
    publish(other, "extra", "1.0", {"share/extra": ""}, depends=["tool"])
    reindex(other)
    places = {"main": (channel.as_uri(),), "r": (other.as_uri(),)}
    there = dataclasses.replace(context, host=dataclasses.replace(context.host, sources=places))
    asked = conda.Environment(packages=("extra",), channels=("defaults",), prefix="/opt/a")
    found = {pin.name: (pin.version, pin.registry) for pin in resolve(there, asked).pins}
    assert found == {"base-files": ("1.2", "main"), "extra": ("1.0", "r"), "tool": ("1.0", "main")}
    swapped = asked.model_copy(update={"channels": ("r", "main")})
    found = {pin.name: (pin.version, pin.registry) for pin in resolve(there, swapped).pins}
    assert found == {"extra": ("1.0", "r"), "tool": ("3.0", "r")}


def test_a_gpu_variant_has_cuda_and_a_cpu_variant_has_none(context: Context) -> None:
    asked = conda.Environment(packages=("with-cuda",), prefix="/opt/a")
    gpu = dataclasses.replace(context, accelerator="gpu")
    assert {pin.name for pin in resolve(gpu, asked).pins} == {"with-cuda", "base-files"}
    with pytest.raises(LockError, match=r"(?s)__cuda >=12\.4.*The image has __archspec 1, __glibc 2\.36"):
        resolve(context, asked)
    old = asked.model_copy(update={"cuda": "11.8"})
    with pytest.raises(LockError, match=r"(?s)__cuda >=12\.4.*The image has __archspec 1, __cuda 11\.8"):
        resolve(gpu, old)


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        (("nothere",), "No candidates were found for nothere"),
        (("tool >=2",), r"No candidates were found for tool >=2"),
        (("new-glibc",), r"(?s)__glibc >=2\.99.*__glibc 2\.36"),
        (("tool", "base-files ==2.0"), r"(?s)base-files.*tool"),
    ],
)
def test_what_has_no_solution_is_explained(context: Context, packages: tuple[str, ...], message: str) -> None:
    asked = conda.Environment(packages=packages, prefix="/opt/a")
    with pytest.raises(LockError, match=message) as caught:
        resolve(context, asked)
    assert caught.value.message.startswith(f"no set of conda packages satisfies {', '.join(packages)} from conda-forge")
    assert conda.ECOSYSTEM.probe(asked, None, context) == caught.value.message
    assert conda.ECOSYSTEM.probe(ASKED, None, context) is None


def test_a_long_explanation_is_cut() -> None:
    lines = conda._shortened("Cannot solve the request because of: " + "\n".join(map(str, range(40)))).splitlines()
    assert lines == [*map(str, range(12)), "and 28 more lines"]


def test_a_channel_out_of_reach_is_a_reason(context: Context, tmp_path: Path) -> None:
    write(tmp_path / "home/.condarc", "channel_alias: http://127.0.0.1:9/x")
    fault = conda.ECOSYSTEM.probe(ASKED, None, context)
    assert fault is not None
    assert fault.startswith("conda: channel conda-forge: ")
    assert "no network connection to 127.0.0.1" in fault


def test_a_channel_that_is_missing_is_a_reason(context: Context) -> None:
    fault = conda.ECOSYSTEM.probe(ASKED.model_copy(update={"channels": ("nothere",)}), None, context)
    assert "channel nothere: " in (fault or "")
    assert "404" in (fault or "")


@pytest.mark.parametrize(("ending", "what"), [(".zst", "repodata.json.zst"), ("", "linux-64 is no index")])
def test_a_page_in_the_place_of_an_index_is_a_reason(context: Context, mirror: Server, ending: str, what: str) -> None:
    del mirror.resources["/conda-forge/linux-64/repodata.json.zst"]
    mirror.add(f"/conda-forge/linux-64/repodata.json{ending}", Resource(b"<html>Please log in</html>"))
    fault = conda.ECOSYSTEM.probe(ASKED, None, context)
    assert fault is not None
    assert fault.startswith("conda: channel conda-forge: ")
    assert what in fault


# --- installing --------------------------------------------------------------------------------------------


def rattler_wheel(path: Path) -> None:
    """A wheel like py-rattler's, of what is installed here; it is not packed, which takes long."""
    site = Path(sysconfig.get_path("purelib"))
    with zipfile.ZipFile(path, "w") as wheel:
        for file in sorted((site / "rattler").rglob("*")):
            if file.suffix in (".py", ".so", ".pyi"):
                wheel.write(file, file.relative_to(site))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rattler") / "py_rattler-0.28.0-cp310-abi3-linux_x86_64.whl"
    rattler_wheel(path)
    return path


Laid = Callable[[Section, str], Path]


@pytest.fixture
def laid(context: Context, wheel: Path, tmp_path: Path) -> Laid:
    """Fetches a section and lays out the store that a build sees, below a root of its own."""

    def lay(section: Section, name: str) -> Path:
        wants = [
            Want(pin.filename, pin.sha256, pin.size, lambda pin=pin: conda.ECOSYSTEM.locate(pin, context))  # type: ignore[misc]
            for pin in section.pins
        ]
        context.store.fetch(wants, host=context.host)
        root = tmp_path / name
        files = root / "dsvm/store/conda-conda"
        files.mkdir(parents=True)
        for pin in section.pins:
            shutil.copy(context.store.path(pin.sha256), files / conda.ECOSYSTEM.file_name(pin))
        (files / "section.json").write_text(canonical_json(section))
        builder = root / "dsvm/store/builder-conda-pypi"
        builder.mkdir()
        (builder / wheel.name).symlink_to(wheel)
        return root

    return lay


def install(root: Path, section: Section) -> subprocess.CompletedProcess[str]:
    step = conda.ECOSYSTEM.install(section, BASE)
    argv = [SYSTEM_PYTHON, INSTALL, "--root", root, *step.args]
    # a proxy that nobody serves: whatever asks the network fails; and a base has no certificates
    env = {"PATH": "/usr/bin:/bin", "HOME": str(root), "ALL_PROXY": "http://127.0.0.1:9"}
    env |= {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"}
    return subprocess.run(list(map(str, argv)), capture_output=True, text=True, env=env, check=False)


def installed(root: Path, section: Section) -> Mapping[str, str]:
    def run(argv: Sequence[str]) -> str:
        words = [word.replace("/opt/conda", f"{root}/out/opt/conda") for word in argv]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    return conda.ECOSYSTEM.installed(section, run)


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    """Path -> mode, time and content (or target) of everything below `root`."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content = str(path.readlink())
        else:
            content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (status.st_mode, int(status.st_mtime), content)
    return found


@pytest.fixture
def built(context: Context, laid: Laid) -> tuple[Path, Section]:
    section = resolve(context)
    root = laid(section, "root")
    done = install(root, section)
    assert done.returncode == 0, done.stderr
    assert "tool has a post-link script, which is not run" in done.stderr
    return root, section


def test_an_environment_is_linked_as_if_it_stood_in_its_place(built: tuple[Path, Section]) -> None:
    root, _ = built
    prefix = root / "out/opt/conda"
    assert (prefix / "bin/tool").read_text() == "#!/bin/sh\ncat /opt/conda/share/tool/words\n"
    assert (prefix / "share/tool/place").read_text() == "/opt/conda/share/tool:/opt/conda/lib\n"
    library = (prefix / "lib/libtool.so").read_bytes()
    assert library.startswith(b"\x7fELF\0\1/opt/conda/lib:x\0")
    assert library.rstrip(b"\0").endswith(b"tail")
    assert (prefix / "bin/pure").read_text().startswith("#!/opt/conda/bin/python3")
    assert (root / "out/usr/local/bin/pure").readlink() == Path("/opt/conda/bin/pure")
    assert not (prefix / "surprise").exists(), "no link script runs"
    assert not list((root / "tmp").iterdir())
    modes = {oct(mode & 0o7777) for mode, _, _ in tree(root / "out").values()}
    assert modes == {"0o755", "0o644", "0o777"}, "the last one is that of symbolic links"
    assert {time for _, time, _ in tree(root / "out").values()} == {EPOCH}
    for path in (root / "out").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert str(root).encode() not in path.read_bytes(), path


def test_a_python_package_starts_with_bytecode_that_python_accepts(built: tuple[Path, Section]) -> None:
    root, _ = built
    prefix = root / "out/opt/conda"
    before = tree(root / "out")
    argv = [str(prefix / "bin/python"), "-v", str(prefix / "bin/pure")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pure ")
    (source,) = prefix.glob("lib/python3*/site-packages/pure/__init__.py")
    assert f"matches {source}" in done.stderr, "its bytecode is not made anew"
    assert tree(root / "out") == before
    (compiled,) = source.parent.glob("__pycache__/*")
    assert b"/opt/conda/lib/python3" in compiled.read_bytes(), "what a traceback shows"


def test_records_are_conda_s_and_name_no_place_of_the_build(built: tuple[Path, Section], mirror: Server) -> None:
    root, section = built
    meta = root / "out/opt/conda/conda-meta"
    records = [rattler.PrefixRecord.from_path(path) for path in sorted(meta.glob("*.json"))]
    assert [(one.name.normalized, str(one.version)) for one in records] == [(p.name, p.version) for p in section.pins]
    assert [one.sha256.hex() for one in records if one.sha256] == [pin.sha256 for pin in section.pins]
    for one in records:
        assert one.url.startswith(rattler.Channel("conda-forge").base_url)
        assert mirror.host not in one.url
        assert [name for name in one.files if not os.path.lexists(root / "out/opt/conda" / name)] == []
    owned = {str(name) for one in records for name in one.files}
    there = {
        str(path.relative_to(meta.parent)) for path in meta.parent.rglob("*") if path.is_symlink() or path.is_file()
    }
    assert {name for name in there - owned if not name.startswith("conda-meta/")} == set()
    tool = json.loads((meta / "tool-1.0-h0_0.json").read_text())
    assert tool["requested_spec"] == "tool >=1"
    history = (meta / "history").read_text()
    assert history.startswith("==> 2023-11-14 22:13:20 <==\n")
    assert "+conda-forge/noarch::pure-2.1-pyh0_0\n" in history
    assert history.endswith("# update specs: ['pure', 'tool >=1']\n")


def test_every_file_is_explained_by_its_package(built: tuple[Path, Section], context: Context) -> None:
    root, section = built
    image = image_of(root / "out")
    promises = promised(section, {pin.name: context.store.path(pin.sha256) for pin in section.pins})
    assert differences(image, promises) == []
    assert promises.entries.keys() <= image.keys()
    for path in ("bin/tool", "bin/pure", "share/tool/place", "lib/libtool.so.1", "lib/libtool.so"):
        changed = dict(image)
        changed[f"/opt/conda/{path}"] = image["/opt/conda/share/base/version"]
        assert differences(changed, promises) == [("changed", f"/opt/conda/{path}")]
    image["/opt/conda/conda-meta/more"] = image["/opt/conda/share/base/version"]
    assert differences(image, promises) == [("unexplained", "/opt/conda/conda-meta/more")]


def test_two_installations_are_the_same_bytes(built: tuple[Path, Section], laid: Laid) -> None:
    root, section = built
    again = laid(section, "somewhere/else/again")
    assert install(again, section).returncode == 0
    assert tree(again / "out") == tree(root / "out")


def test_what_is_installed_agrees_with_the_lock_in_both_directions(built: tuple[Path, Section]) -> None:
    root, section = built
    wanted = {pin.name: pin.version for pin in section.pins}
    assert installed(root, section) == wanted
    prefix = root / "out/opt/conda"
    (prefix / "share/tool/words").unlink()
    assert installed(root, section) == {**wanted, "tool": "1.0 without 1 of its files"}
    (prefix / "conda-meta/base-files-1.2-h0_0.json").unlink()
    assert "base-files" not in installed(root, section)
    (site,) = prefix.glob("lib/python3*/site-packages")
    write(site / "other-3.0.dist-info/METADATA", "")
    assert installed(root, section)["pypi:other"] == "3.0"


def test_a_package_s_own_bytecode_is_kept_where_it_fits(
    context: Context, laid: Laid, channel: Path, tmp_path: Path
) -> None:
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not os.path.lexists(f"/usr/bin/python{minor}"):
        pytest.skip(f"the distribution has no Python {minor}, whose bytecode this Python can make")
    own = tmp_path / "own"
    shutil.copytree(channel, own)
    site = f"lib/python{minor}/site-packages"
    files: dict[str, str | bytes | Link] = {}
    for name, text, recorded in (("fits", "a = 1\n", "a = 1\n"), ("old", "b = 22\n", "b = 2\n")):
        source = tmp_path / f"{name}.py"
        source.write_text(recorded)
        compiled = py_compile.compile(str(source), cfile=str(tmp_path / "x.pyc"), dfile=f"marked/{name}.py")
        assert compiled is not None
        files |= {f"{site}/{name}.py": text}
        files |= {f"{site}/__pycache__/{name}.cpython-{minor.replace('.', '')}.pyc": Path(compiled).read_bytes()}
    publish(own, "packed", "1.0", files, depends=["python"])
    reindex(own)
    here = dataclasses.replace(context.host, sources={"conda-forge": (own.as_uri(),)})
    there = dataclasses.replace(context, host=here)
    section = resolve(there, conda.Environment(packages=("packed",), prefix="/opt/conda"))
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    for pin in section.pins:
        context.store.add(own / pin.file, sha256=pin.sha256)
    root = laid(section, "root")
    assert install(root, section).returncode == 0
    prefix = root / "out/opt/conda"
    fits, old = (prefix / f"{site}/__pycache__/{name}.cpython-{minor.replace('.', '')}.pyc" for name in ("fits", "old"))
    assert b"marked/fits.py" in fits.read_bytes()
    assert b"marked" not in old.read_bytes()
    image = image_of(root / "out")
    promises = promised(section, {pin.name: context.store.path(pin.sha256) for pin in section.pins})
    assert differences(image, promises) == []
    ours = {str(path): f"/{path.relative_to(root / 'out')}" for path in (fits, old)}
    exact = {path for path in ours.values() if is_as_promised(image[path][0], promises.entries[path][0][0])}
    assert exact == {ours[str(fits)]}, "with another time in it; the other one has to be compiled again to know"
    argv = [str(prefix / "bin/python"), "-v", "-c", "import fits, old; print(fits.a + old.b)"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "23\n"
    assert f"matches {prefix}/{site}/fits.py" in done.stderr
    assert f"matches {prefix}/{site}/old.py" in done.stderr
    assert installed(root, section) == {pin.name: pin.version for pin in section.pins}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pin: pin.model_copy(update={"version": "9"}), "the lock says tool 9"),
        (lambda pin: pin.model_copy(update={"name": "tools"}), "the lock says tools 1.0"),
    ],
)
def test_a_package_that_is_not_what_the_lock_says_stops_the_build(
    context: Context, laid: Laid, change: Callable[[Pin], Pin], message: str
) -> None:
    section = resolve(context)
    pins = tuple(change(pin) if pin.name == "tool" else pin for pin in section.pins)
    wrong = section.model_copy(update={"pins": pins})
    done = install(laid(wrong, "root"), wrong)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_command_that_no_package_has_stops_the_build(context: Context, laid: Laid) -> None:
    section = resolve(context, ASKED.model_copy(update={"commands": ("nothere",)}))
    done = install(laid(section, "root"), section)
    assert done.returncode == 1
    assert "no package has bin/nothere" in done.stderr


def test_versions_to_stay_at_stay_unless_something_forbids_it(tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    for version in ("1.0", "2.0"):
        publish(channel, "numbers", version, {"share/numbers": ""})
        publish(channel, "words", version, {"share/words": ""}, noarch="generic")
    publish(channel, "tool", "1.0", {"share/tool": ""}, depends=["numbers", "words >=2"])
    reindex(channel)
    context = Context(
        base=BASE, host=dataclasses.replace(host(tmp_path / "home"), sources={"conda-forge": (channel.as_uri(),)}),
        store=Store(tmp_path / "store"), work=tmp_path / "work",
    )  # fmt: skip
    asked = conda.Environment(packages=("tool",), prefix="/opt/conda")
    stay = {"numbers": "1.0", "words": "1.0", "gone": "1.0", "tool": "0.9"}
    pins, _ = conda.ECOSYSTEM.resolve(Request("conda-conda", "base", (asked,), prefer=stay), context)
    assert {pin.name: pin.version for pin in pins} == {"numbers": "1.0", "words": "2.0", "tool": "1.0"}


# --- what is newer -----------------------------------------------------------------------------------------


def test_what_the_channel_has_now_is_offered_with_who_needs_less(tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    publish(channel, "numbers", "1.0", {"share/numbers": ""})
    publish(channel, "tool", "1.0", {"share/tool": ""}, depends=["numbers <2", "words"])
    publish(channel, "words", "1.0", {"share/words": ""}, noarch="generic")
    reindex(channel)
    here = host(tmp_path / "home")
    first = Context(
        base=BASE, host=dataclasses.replace(here, sources={"conda-forge": (channel.as_uri(),)}),
        store=Store(tmp_path / "store"), work=tmp_path / "work",
    )  # fmt: skip
    asked = conda.Environment(packages=("tool <2",), prefix="/opt/conda")
    section = resolve(first, asked)
    publish(channel, "numbers", "2.0", {"share/numbers": ""})
    publish(channel, "tool", "2.0", {"share/tool": ""})
    publish(channel, "words", "1.10", {"share/words": ""}, noarch="generic")
    publish(channel, "words", "1.11.dev1", {"share/words": ""}, noarch="generic")
    reindex(channel)
    later = dataclasses.replace(first, work=tmp_path / "later")
    request = Request("conda-conda", "base", (asked,))
    found = conda.ECOSYSTEM.offered(section, Asked(request, BASE), later)
    # the solver takes what is under development, too
    assert (found["words"].newest, found["words"].again) == ("1.10", "1.11.dev1")
    assert (found["tool"].newest, found["tool"].again, found["tool"].holders) == ("2.0", "1.0", ())
    assert conda.ECOSYSTEM.forbids(asked, "tool", "2.0") == "tool <2"
    assert conda.ECOSYSTEM.forbids(asked, "tool", "1.9") is None and conda.ECOSYSTEM.forbids(asked, "a", "9") is None
    numbers = found["numbers"]
    assert (numbers.newest, numbers.again, numbers.holders) == ("2.0", "1.0", ("tool",)), numbers.words
    assert "numbers" in numbers.words
