"""What is in an ext4 file system of a disk image is what was put there, however it is called."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsvm.host import members
from dsvm.ledger import ext4
from dsvm.model import MIB, Entry, VerifyError

START = 1 * MIB
NEEDED = ("mke2fs", "debugfs")
real_programs = pytest.mark.skipif(
    any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"
)
CAPABILITY = "0100000200200000000000000000000000000000"  # cap_net_raw=ep
NAMES = st.binary(min_size=1, max_size=60).filter(
    lambda name: not {0, ord("/")} & {*name} and name not in (b".", b"..")
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for name in ("etc/ssh", "usr/bin", "opt/many"):
        (folder / name).mkdir(parents=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (folder / "etc/shadow").write_text("root:*:20000::::::\n")
    (folder / "etc/shadow").chmod(0o640)
    (folder / "etc/empty").touch()
    (folder / "usr/bin/tool").write_bytes(os.urandom(300_000))
    (folder / "usr/bin/tool").chmod(0o755)
    (folder / "usr/bin/same").hardlink_to(folder / "usr/bin/tool")
    (folder / "opt/two\nlines").write_text("1")
    (folder / "opt/debugfs: cat <12>\n").write_text("debugfs: cat <13>\n")
    os.close(os.open(bytes(folder / "opt") + b"/\xff\xfe", os.O_CREAT))
    (folder / "opt/hole").touch()
    os.truncate(folder / "opt/hole", 500_000)
    for number in range(300):  # a folder of several blocks
        (folder / f"opt/many/a-rather-long-name-of-a-file-{number}").write_text(str(number))
    for length in (1, 15, 16, 33, 59, 60, 100, 1000):
        (folder / f"opt/link-{length}").symlink_to("a" * length)
    (folder / "opt/link").symlink_to("../etc/passwd\ndebugfs: cat <1>\n")
    os.mkfifo(folder / "opt/pipe")
    return folder


def made(root: Path) -> Path:
    """A raw disk with a file system of these files."""
    disk = root.with_name("disk.raw")
    with disk.open("wb") as file:
        file.truncate(32 * MIB)
    words: list[str | Path] = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", root, "-E", f"offset={START}", disk, "30720k"]
    subprocess.run(words, check=True)
    return disk


def changed(disk: Path, *requests: str) -> None:
    script = disk.with_name("requests")
    script.write_text("".join(f"{one}\n" for one in requests))
    subprocess.run(["debugfs", "-w", "-f", script, f"{disk}?offset={START}"], check=True, capture_output=True)


@real_programs
def test_files_are_read_by_themselves_too(root: Path) -> None:
    system = ext4.FileSystem(made(root), START)
    entries, kept = system.read()
    found = dict(entries)
    assert {"/etc/passwd", "/etc/shadow"} <= {path for path, one in entries if one.sha256 in kept.texts}
    wanted = ["/usr/bin/tool", "/etc/empty", "/opt/two\nlines", "/opt/link", "/opt/pipe", "/nowhere"]
    assert {path: len(data) for path, data in system.files(wanted)} == {
        path: found[path].size for path in wanted if path in found and found[path].kind == "file"
    }
    assert dict(system.files(["/etc/passwd"]))["/etc/passwd"] == (root / "etc/passwd").read_bytes()


@real_programs
def test_a_file_system_that_was_not_written_to_its_end_is_refused(root: Path) -> None:
    disk = made(root)
    changed(disk, "feature needs_recovery")
    with pytest.raises(VerifyError, match="its journal would change it"):
        read(disk)


@real_programs
def test_a_folder_with_two_files_of_one_name_is_refused(root: Path) -> None:
    disk = made(root)
    changed(disk, "feature ^metadata_csum", "ln /etc/passwd /opt/twin-1", "ln /etc/shadow /opt/twin-2")
    disk.write_bytes(disk.read_bytes().replace(b"twin-2", b"twin-1"))
    with pytest.raises(VerifyError, match="two files of one name"):
        read(disk)


@real_programs
def test_owners_of_more_than_16_bits_are_read(root: Path) -> None:
    disk = made(root)
    # 65536 has the lower half of root
    changed(disk, "set_inode_field /etc/shadow uid 65536", "set_inode_field /etc/shadow gid 65537")
    assert (read(disk)["/etc/shadow"].uid, read(disk)["/etc/shadow"].gid) == (65536, 65537)


def read(disk: Path) -> dict[str, Entry]:
    tar = io.BytesIO()
    ext4.FileSystem(disk, START).write_tar(tar)
    tar.seek(0)
    return dict(members(tar))


@real_programs
def test_everything_is_read_as_it_was_put_there(root: Path) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(root, arcname="")
    tar.seek(0)
    wanted = {
        path: entry._replace(mtime=0) if entry.kind == "link" else entry for path, entry in members(tar) if path != "/"
    }
    found = read(made(root))
    assert found.pop("/lost+found").kind == "folder"
    assert found == wanted
    assert len(found) > 300 and found["/usr/bin/same"] == found["/usr/bin/tool"]


@real_programs
def test_what_is_changed_on_a_disk_is_seen(root: Path, tmp_path: Path) -> None:
    disk = made(root)
    before = read(disk)
    (tmp_path / "second").write_text("root:x:0:0:root:/root:/bin/bash\nother:x:0:0::/:/bin/sh\n")
    (tmp_path / "key").write_text("PRIVATE")
    (tmp_path / "capability").write_bytes(bytes.fromhex(CAPABILITY))
    changed(
        disk,
        "cd /etc",
        "rm passwd",
        f"write {tmp_path / 'second'} passwd",
        "cd /etc/ssh",
        f"write {tmp_path / 'key'} ssh_host_ed25519_key",
        "rm /etc/empty",
        "set_inode_field /usr/bin/tool mode 0104755",
        "set_inode_field /etc/shadow uid 1000",
        f"ea_set -f {tmp_path / 'capability'} /usr/bin/tool security.capability",
        "ea_set /etc/shadow user.note hello",
    )
    after = read(disk)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == {
        "/etc/passwd",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/empty",
        "/usr/bin/tool",
        "/usr/bin/same",
        "/etc/shadow",
    }
    assert "/etc/empty" not in after
    assert after["/usr/bin/tool"].mode == after["/usr/bin/same"].mode == 0o4755
    assert after["/usr/bin/tool"].xattrs == (f"security.capability={CAPABILITY}",)
    assert after["/etc/shadow"].uid == 1000 and after["/etc/shadow"].xattrs == ("user.note",)
    assert after["/usr/bin/tool"].sha256 == before["/usr/bin/tool"].sha256


@real_programs
def test_a_file_system_that_contradicts_itself_is_refused(root: Path) -> None:
    disk = made(root)
    changed(disk, "link /etc /opt/again")
    with pytest.raises(VerifyError, match=r"/opt/again is a folder that stands elsewhere too"):
        read(disk)
    disk.write_bytes(bytes(2 * MIB))
    with pytest.raises(VerifyError, match="no file system"):
        read(disk)


@given(st.lists(st.tuples(st.integers(1, 1 << 32), st.integers(0, 0o177777), NAMES, st.integers(0, 1 << 45))))
def test_no_name_decides_where_a_folder_ends(rows: list[tuple[int, int, bytes, int]]) -> None:
    text = b"/2/040755/0/0/.//\n/2/040755/0/0/..//\n/0/000000/0/0//0/\n"
    text += b"".join(b"/%d/%06o/1/2/%s/%d/\n" % row for row in rows)
    found, end = ext4.records(b"before" + text + b"\nafter", len(b"before"))
    assert found == [ext4.Record(inode, mode, name, size) for inode, mode, name, size in rows]
    assert (b"before" + text + b"\nafter")[end:] == b"after"


@given(st.binary())
def test_what_is_no_answer_is_refused_and_not_guessed(text: bytes) -> None:
    for parse in (ext4.records, ext4.inode_of):
        try:
            parse(text)
        except ValueError:
            continue
    assert len(ext4.dumped(text)) <= ext4.FAST


def test_an_attribute_that_looks_like_another_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        ext4.inode_of(
            b"User:     0   Group:     0   Size: 1\n mtime: 0x6b0a09c9:0\n  security.capability (20) = 01 00 \n"
        )
