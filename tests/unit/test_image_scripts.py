"""Scripts that run inside an image's build: what they promise about bytes."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import struct
import subprocess
import sys
import tarfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts" / "image"


def script(name: str) -> ModuleType:
    """A script without an ending, as a module."""
    loader = SourceFileLoader(name.replace("-", "_"), str(SCRIPTS / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


sys.dont_write_bytecode = True
truststore, compile_wheels, install_url, rpm_database = (
    script("pin-java-truststore"),
    script("compile-wheels"),
    script("install-url"),
    script("pin-rpmdb"),
)


def keystore(entries: list[tuple[str, int, bytes]]) -> bytes:
    data = struct.pack(">III", 0xFEEDFEED, 2, len(entries))
    for alias, time, certificate in entries:
        name = alias.encode()
        data += struct.pack(">IH", 2, len(name)) + name + struct.pack(">Q", time)
        data += struct.pack(">H", 5) + b"X.509" + struct.pack(">I", len(certificate)) + certificate
    return bytes(data + truststore.digest(data))


ENTRIES = st.lists(st.tuples(st.text(max_size=20), st.integers(0, 2**63), st.binary(max_size=50)), max_size=5)


@given(ENTRIES, st.integers(0, 2**32))
def test_a_trust_store_keeps_everything_but_its_times(entries: list[tuple[str, int, bytes]], seconds: int) -> None:
    wanted = keystore([(alias, seconds * 1000, certificate) for alias, _, certificate in entries])
    assert truststore.pinned(keystore(entries), seconds) == wanted


@pytest.mark.parametrize("data", [b"", b"x" * 40, keystore([("a", 1, b"c")])[:-1] + b"x"])
def test_what_is_no_trust_store_is_left_alone(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a Java trust store"):
        truststore.pinned(data, 0)


def test_programs_of_images_know_no_python_newer_than_the_oldest_base_s() -> None:
    """Rocky Linux 9 has 3.9 as /usr/bin/python3; what its runtime brings stands beside that."""
    files = [path for path in SCRIPTS.iterdir() if path.is_file()]
    found = [path for path in files if path.read_text().startswith("#!/usr/bin/python3")]
    assert len(found) > 5
    for path in found:
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
        newer = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "strict"]
        assert not newer, f"{path.name}:{newer[0].lineno if newer else 0}: zip(strict=) is of 3.10"


def header(entries: list[tuple[int, int]]) -> bytes:
    """An rpm header of one 32-bit number for each tag."""
    index = b"".join(struct.pack(">IIiI", tag, 4, 4 * place, 1) for place, (tag, _) in enumerate(entries))
    data = b"".join(struct.pack(">I", value) for _, value in entries)
    return struct.pack(">II", len(entries), len(data)) + index + data


NUMBERS = st.integers(0, 2**32 - 1)


def test_nothing_is_piped_into_a_grep_that_ends_early() -> None:
    """With pipefail what still writes then fails, and only where it has much to say."""
    places = [
        *(ROOT / "manifests/checks").glob("*.sh"),
        *(one for one in (ROOT / "scripts").rglob("*") if one.is_file()),
    ]
    texts = {place: place.read_text(errors="replace") for place in places if "__pycache__" not in place.parts}
    assert [place.name for place, text in texts.items() if re.search(r"\|\s*grep\s+-\w*q", text)] == []


@given(st.lists(st.tuples(st.sampled_from([1000, 1008, 1009, 1128]), NUMBERS), max_size=8), NUMBERS)
def test_a_header_of_rpm_keeps_everything_but_its_times(entries: list[tuple[int, int]], seconds: int) -> None:
    wanted = header([(tag, seconds if tag in (1008, 1128) else value) for tag, value in entries])
    assert rpm_database.pinned(header(entries), seconds) == wanted


@given(st.binary(max_size=100))
def test_what_is_no_header_of_rpm_is_left_alone(data: bytes) -> None:
    try:
        assert rpm_database.pinned(data, 1) == data
    except ValueError as error:
        assert "no" in str(error)


def test_a_time_that_is_none_is_refused() -> None:
    good = header([(1008, 5)])
    for place, value in ((12, 6), (16, 4), (20, 2)):  # another type, outside the data, several
        with pytest.raises(ValueError, match="tag 1008 is no time"):
            rpm_database.pinned(good[:place] + struct.pack(">I", value) + good[place + 4 :], 1)


def environment(prefix: Path) -> Path:
    """A small environment of three distributions whose files share names and strings."""
    site = prefix / "lib/python3.11/site-packages"
    for name in ("alpha", "beta", "gamma"):
        package = site / name
        package.mkdir(parents=True)
        text = "".join(f"def {word}(x, {name}='shared'):\n    return x + len({name})\n" for word in ("f", "g", name))
        (package / "__init__.py").write_text(text)
        (package / "more.py").write_text("import os\nNAMES = ('alpha', 'beta', 'gamma', 'shared')\n")
        (package / "broken.py").write_text("def (:\n")
        record = site / f"{name}-1.0.dist-info/RECORD"
        record.parent.mkdir()
        record.write_text("".join(f"{name}/{one},,\n" for one in ("__init__.py", "more.py", "broken.py", "gone.py")))
    for path in site.rglob("*.py"):
        os.utime(path, (1000, 1000))
    return site


def compiled(prefix: Path, cache: Path, epoch: int = 1000) -> dict[str, bytes]:
    argv = [sys.executable, SCRIPTS / "compile-wheels", "--prefix", prefix, "--epoch", str(epoch), "--cache", cache]
    subprocess.run(list(map(str, argv)), check=True)
    return {str(path.relative_to(prefix)): path.read_bytes() for path in prefix.rglob("*.pyc")}


def test_bytecode_is_the_same_with_and_without_a_cache(tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    site = environment(prefix)
    first = compiled(prefix, tmp_path / "cache-1")
    assert len(first) == 6, "two good files of each distribution"
    for path in site.rglob("*.pyc"):
        path.unlink()
    assert compiled(prefix, tmp_path / "cache-2") == first, "a fresh cache"
    entries = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache-2").rglob("*") if path.is_file()}
    assert len(entries) == 3, "one entry for each distribution"
    for path in site.rglob("*.pyc"):
        path.unlink()
    assert compiled(prefix, tmp_path / "cache-2") == first, "a used cache"
    assert {path: path.stat().st_mtime_ns for path in entries} == entries


def test_bytecode_is_what_python_itself_accepts(tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    site = environment(prefix)
    compiled(prefix, tmp_path / "cache")
    code = "import sys; sys.dont_write_bytecode = True; import alpha.more as m; print(m.__cached__)"
    argv = [sys.executable, "-v", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(site)})
    assert f"matches {site}/alpha/more.py" in done.stderr


def test_a_changed_file_or_a_broken_entry_is_compiled_again(tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    site = environment(prefix)
    first = compiled(prefix, tmp_path / "cache")
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xff")
    assert compiled(prefix, tmp_path / "cache") == first
    (site / "alpha/more.py").write_text("CHANGED = 1\n")
    os.utime(site / "alpha/more.py", (1000, 1000))
    record = site / "alpha-1.0.dist-info/RECORD"
    record.write_text(record.read_text().replace("more.py,,", "more.py,sha256=x,1"))
    changed = compiled(prefix, tmp_path / "cache")
    assert {name for name in first if first[name] != changed[name]} == {
        "lib/python3.11/site-packages/alpha/__pycache__/more.cpython-311.pyc"
    }


@pytest.mark.parametrize(
    "members",
    [
        [("top/../../../evil", tarfile.REGTYPE, "")],
        [("../evil", tarfile.REGTYPE, "")],
        [("../evil", tarfile.SYMTYPE, "x")],
        [("/evil", tarfile.REGTYPE, "")],
        [("out", tarfile.SYMTYPE, ".."), ("out/evil", tarfile.REGTYPE, "")],
        [("out", tarfile.SYMTYPE, "../evil"), ("out", tarfile.REGTYPE, "")],
        [("out", tarfile.LNKTYPE, "../secret")],
        [("evil", tarfile.CHRTYPE, "")],
        [("evil", tarfile.FIFOTYPE, "")],
    ],
)
def test_an_archive_cannot_leave_its_folder(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    archive = tmp_path / "bad.tar"
    (tmp_path / "secret").touch()
    with tarfile.open(archive, "w") as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member)
    with pytest.raises(SystemExit, match=r"install-url: .*leads out of"):
        install_url.unpack_tar(archive, tmp_path / "out", 0)
    assert not list(tmp_path.glob("**/evil"))
    assert not Path("/evil").exists()


def test_links_inside_an_archive_stay_links(tmp_path: Path) -> None:
    archive = tmp_path / "good.tar"
    with tarfile.open(archive, "w") as tar:
        for name, kind, link in [
            ("top/lib/a.so.1", tarfile.REGTYPE, ""),
            ("top/lib/a.so", tarfile.SYMTYPE, "a.so.1"),
            ("top/lib/b.so", tarfile.LNKTYPE, "top/lib/a.so.1"),
            ("top/host", tarfile.SYMTYPE, "/usr/lib/host"),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member)
    out = tmp_path / "out"
    install_url.unpack_tar(archive, out, 1)
    assert (out / "lib/a.so").readlink() == Path("a.so.1")
    assert (out / "lib/b.so").samefile(out / "lib/a.so.1")
    assert (out / "host").readlink() == Path("/usr/lib/host")


def test_git_settings_have_one_order_and_keep_their_values(tmp_path: Path) -> None:
    """git-lfs writes its four in the order of a Go map: another one each time."""
    lfs = ["\tclean = git-lfs clean -- %f", "\trequired", '\tprocess = "a # b"']
    written = set()
    for lines in (lfs, lfs[::-1]):
        file = tmp_path / "gitconfig"
        file.write_text("\n".join(["[user]", "\tname = ds", '[filter "lfs"]', *lines, ""]))
        subprocess.run([SCRIPTS / "sort-gitconfig", file], check=True)
        written.add(file.read_text())
        listed = subprocess.run(["git", "config", "--file", file, "--list"], capture_output=True, text=True, check=True)
        assert listed.stdout.splitlines() == [
            "filter.lfs.clean=git-lfs clean -- %f",
            "filter.lfs.process=a # b",
            "filter.lfs.required=true",
            "user.name=ds",
        ]
    assert len(written) == 1
