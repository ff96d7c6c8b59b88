"""The ledger: what is in an image, what is promised of it, and every way in which the two can differ."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsvm.ecosystems import Generated
from dsvm.ecosystems.pypi.contents import contents, generated, placed
from dsvm.host import bundled, members
from dsvm.ledger.accounting import _layers
from dsvm.ledger.comparing import compare
from dsvm.ledger.image import Image, Layer
from dsvm.ledger.lists import keep, kept
from dsvm.ledger.promises import Promises
from dsvm.model import Entry, LockError

DATA = b"print('hello')\n"
SHA = hashlib.sha256(DATA).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
FOLDER = Entry("folder", 0o755)


def file(sha256: str = SHA, mode: int = 0o644, **more: object) -> Entry:
    return Entry("file", mode, size=len(DATA), sha256=sha256)._replace(**more)  # type: ignore[arg-type]


def tree(**paths: Entry) -> dict[str, tuple[Entry, int]]:
    """Paths are written with two underlines for a slash."""
    return {"/" + name.replace("__", "/"): (entry, 0) for name, entry in paths.items()}


def promise(entries: Mapping[str, Entry], *generated: Generated) -> Promises:
    found = Promises(generated=list(generated))
    for path, entry in entries.items():
        found.add(path, entry, "hello 1.0")
    return found


def found(image: Mapping[str, tuple[Entry, int]], promises: Promises) -> list[tuple[str, str]]:
    return [(one.verdict, one.path) for one in compare(image, promises)]


# --- what is promised, and what is there ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "verdict"),
    [
        (file(), None),
        (file(OTHER), "changed"),
        (file(mode=0o666), "mode"),
        (file(uid=1000), "owner"),
        (Entry("link", target="x"), "changed"),
        (FOLDER, "changed"),
    ],
)
def test_what_an_artefact_has_is_there_as_it_has_it(there: Entry, verdict: str | None) -> None:
    said = found(tree(usr__hello=there), promise({"/usr/hello": file()}))
    assert said == ([(verdict, "/usr/hello")] if verdict else [])


def test_what_an_artefact_has_and_the_image_lacks_is_missing() -> None:
    assert found({}, promise({"/usr/hello": file()})) == [("missing", "/usr/hello")]


def test_what_nobody_promises_is_unexplained_and_folders_are_not() -> None:
    assert found(tree(usr=FOLDER, usr__extra=file()), promise({})) == [("unexplained", "/usr/extra")]


def test_links_of_folders_lead_to_what_is_promised() -> None:
    """As /bin is /usr/bin: packages name files by either path."""
    image = tree(usr=FOLDER, usr__bin=FOLDER, usr__bin__sh=file(), bin=Entry("link", target="usr/bin"))
    assert found(image, promise({"/bin/sh": file()}, Generated("/bin", "merged /usr", "link"))) == []
    loop = tree(a=Entry("link", target="b"), b=Entry("link", target="a"))
    assert [one for one, _ in found(loop, promise({"/a/sh": file()}))].count("missing") == 1


@pytest.mark.parametrize(
    ("how", "there", "fine"),
    [
        ("any", file(OTHER), True),
        ("copy", file(), True),
        ("copy", file(OTHER), False),
        ("link", Entry("link", target="/usr/hello"), True),
        ("link", Entry("link", target="/nowhere"), False),
        ("link", file(), False),
        ("device", Entry("device"), True),
        ("device", file(), False),
        ("gone", file(OTHER), False),
    ],
)
def test_what_a_step_makes_is_what_it_may_make(how: str, there: Entry, fine: bool) -> None:
    made = Generated("/etc/*", "a step", how)  # type: ignore[arg-type]
    image = tree(usr__hello=file(), etc__made=there)
    assert (found(image, promise({"/usr/hello": file()}, made)) == []) == fine


def test_a_step_may_change_a_mode_or_take_something_away_where_it_says_so() -> None:
    promised = {"/etc/sudoers": file()}
    assert (
        found(tree(etc__sudoers=file(mode=0o440)), promise(promised, Generated("/etc/sudoers", "sudo", "mode"))) == []
    )
    assert found({}, promise(promised, Generated("/etc/*", "emptied", "gone"))) == []
    assert found(tree(etc__sudoers=file(OTHER)), promise(promised, Generated("/etc/sudoers", "sudo", "mode")))


def test_alternatives_are_explained_where_they_lead() -> None:
    image = tree(
        usr__bin__awk=Entry("link", target="/etc/alternatives/awk"),
        etc__alternatives__awk=Entry("link", target="/usr/bin/mawk"),
        usr__bin__mawk=file(),
    )
    promised = promise({"/usr/bin/mawk": file()}, Generated("/etc/alternatives/*", "update-alternatives", "link"))
    assert found(image, promised) == []
    image["/etc/alternatives/awk"] = Entry("link", target="/tmp/evil"), 0
    assert [path for _, path in found(image, promised)] == ["/etc/alternatives/awk", "/usr/bin/awk"]


def test_files_of_a_pool_may_stand_anywhere_in_it_and_nowhere_else() -> None:
    promised = promise({})
    promised.pools["/opt/program"] = {("index.js", SHA)}
    assert found({"/opt/program/a/b/index.js": (file(), 0)}, promised) == []
    for path, entry in (
        ("/opt/program/other.js", file()),
        ("/opt/index.js", file()),
        ("/opt/program/index.js", file(OTHER)),
    ):
        assert found({path: (entry, 0)}, promised) == [("unexplained", path)]


def bytecode(flags: int, mtime: int, size: int) -> Entry:
    head = bytes.fromhex("a70d0d0a") + b"".join(one.to_bytes(4, "little") for one in (flags, mtime, size))
    return Entry("file", 0o644, head=head.hex())


@pytest.mark.parametrize(
    ("entry", "verdict"),
    [
        (bytecode(0, 100, len(DATA)), None),
        (bytecode(3, 1, 2), None),  # Python compares the hash of the source
        (bytecode(0, 99, len(DATA)), "stale"),
        (bytecode(0, 100, len(DATA) + 1), "stale"),
        (bytecode(1, 100, len(DATA)), "stale"),  # and here it does not
        (Entry("file", head="00"), "stale"),
    ],
)
def test_byte_code_is_of_the_source_beside_it(entry: Entry, verdict: str | None) -> None:
    pyc = "/x/__pycache__/hello.cpython-311.pyc"
    image = {"/x/hello.py": (file(mtime=100), 0), pyc: (entry, 0)}
    assert found(image, promise({"/x/hello.py": file()})) == ([(verdict, pyc)] if verdict else [])
    del image["/x/hello.py"]
    assert ("unexplained", pyc) in found(image, promise({"/x/hello.py": file()}))


# --- layers --------------------------------------------------------------------------------------------------


def packed(*entries: tarfile.TarInfo, data: bytes = DATA) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for one in entries:
            one.size = len(data) if one.isreg() else 0
            tar.addfile(one, io.BytesIO(data) if one.isreg() else None)
    out.seek(0)
    return out


def info(name: str, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type = kind
    for key, value in more.items():
        setattr(one, key, value)
    return one


NOTED = {"SCHILY.xattr.security.capability": "x", "SCHILY.xattr.user.note": "y"}


def test_members_are_read_with_their_rights_and_hashes() -> None:
    stream = packed(
        info("./", tarfile.DIRTYPE, mode=0o755),
        info("./a", mode=0o4755, uid=7, pax_headers=NOTED),
        info("b", tarfile.LNKTYPE, linkname="./a"),
        info("c", tarfile.SYMTYPE, linkname="a"),
        info("d", tarfile.CHRTYPE),
        info("e.pyc"),
    )
    read = dict(members(stream))
    assert read["/"].kind == "folder"
    assert (read["/a"].mode, read["/a"].uid, read["/a"].sha256) == (0o4755, 7, SHA)
    assert read["/a"].xattrs == ("security.capability=78", "user.note")
    assert read["/b"] == read["/a"]
    assert (read["/c"].target, read["/d"].kind, read["/e.pyc"].head) == ("a", "device", DATA[:16].hex())


def test_later_layers_win_and_whiteouts_take_away() -> None:
    lower = [
        ("/x", FOLDER),
        ("/x/a", file()),
        ("/x/b", file()),
        ("/y", FOLDER),
        ("/y/c", file()),
        ("/z", FOLDER),
        ("/z/d", file()),
    ]
    upper = [("/x/.wh.a", file()), ("/x/b", file(OTHER)), ("/y/.wh..wh..opq", file()), ("/y/e", file()), ("/z", file())]
    image = Image("sha256:1", (Layer("sha256:a", lower), Layer("sha256:b", upper)), {})
    made = image.tree()
    assert sorted(made) == ["/x", "/x/b", "/y", "/y/e", "/z"]
    assert made["/x/b"] == (file(OTHER), 1) and made["/z"][0].kind == "file"


def test_layers_that_the_build_did_not_note() -> None:
    image = Image("sha256:1", (Layer("a", []), Layer("b", [])), {})
    assert _layers(image, ["a", "b"]) == []
    for recorded, words in ((["a"], "on top"), (["a", "b", "c"], "not there"), (["a", "x"], "layer 1 is not")):
        (one,) = _layers(image, recorded)
        assert one.verdict == "layers" and words in one.what


ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(["file", "folder", "link"]),
    mode=st.integers(0, 0o7777),
    target=st.text(max_size=20),
    sha256=st.sampled_from(["", SHA]),
    xattrs=st.tuples(st.text(max_size=5)),
)


@given(
    st.lists(st.tuples(st.text(max_size=30).filter(lambda one: one < "\ud800" or one > "\udfff"), ENTRIES), max_size=5)
)
def test_lists_are_kept_as_they_are(entries: list[tuple[str, Entry]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keep(Path(folder, "list"), entries)
        assert kept(Path(folder, "list")) == entries


@pytest.mark.parametrize("data", [b"", b"no list", b"\x28\xb5\x2f\xfd\x00"])
def test_a_list_that_is_none_is_read_again(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list").write_bytes(data)
    assert kept(tmp_path / "list") is None
    assert kept(tmp_path / "gone") is None


# --- wheels --------------------------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def whole_wheel(folder: Path) -> Path:
    """A wheel with all that a wheel can have: a package, scripts, data, headers and entry points."""
    info = "hello-1.0.dist-info"
    files = {
        "hello/__init__.py": b"def main():\n    print('hello')\n\n\nclass App:\n    main = staticmethod(main)\n",
        "hello-1.0.data/purelib/pure.py": b"",
        "hello-1.0.data/scripts/hello-sh": b"#!/bin/sh\necho hello\n",
        "hello-1.0.data/scripts/hello-py": b"#!python\nimport hello\n",
        "hello-1.0.data/data/share/hello/data.txt": b"data\n",
        "hello-1.0.data/headers/hello.h": b"int hello;\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\nhello = hello:main\nhello-app = hello:App.main\n",
    }
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
    path = folder / "hello-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return path


def test_an_environment_is_what_its_wheels_say(tmp_path: Path) -> None:
    """With the installer itself: whatever it writes is promised, or said to be its own."""
    prefix = tmp_path / "envs/base"
    uv = bundled("uv")
    wheel = whole_wheel(tmp_path)
    env = {"UV_NO_CONFIG": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    install = ("pip", "install", "--quiet", "--no-index", "--no-deps", "--python", prefix, wheel)
    subprocess.run([uv, "venv", "--quiet", prefix], check=True, env=env)
    subprocess.run([uv, *install], check=True, env=env)
    (lib,) = prefix.glob("lib/python3*")
    python = lib.name.removeprefix("python")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(prefix, str(prefix).lstrip("/"))
    out.seek(0)
    image = {path: (entry._replace(uid=0, gid=0), 0) for path, entry in members(out)}
    promised = Promises(generated=[*generated(str(prefix), python)])
    for path, entry in placed(str(prefix), python, contents(wheel, str(prefix))):
        promised.add(path, entry, "hello 1.0")
    ours = ("/.lock", "/.gitignore", "/direct_url.json", "/uv_cache.json")  # which our own script removes
    assert [one for one in found(image, promised) if not one[1].endswith(ours)] == []
    assert f"{prefix}/bin/hello" in promised.entries and f"{prefix}/share/hello/data.txt" in promised.entries
    image[f"{prefix}/bin/hello"] = file(OTHER, 0o755), 0
    assert ("changed", f"{prefix}/bin/hello") in found(image, promised)


@pytest.mark.parametrize("data", [b"", b"PK", b"no wheel at all"])
def test_what_is_no_wheel_is_said(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.whl").write_bytes(data)
    with pytest.raises(LockError, match="no wheel"):
        list(contents(tmp_path / "x.whl", ""))
