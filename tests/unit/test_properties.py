"""What no owner excuses in an image: each kind of finding, in a small tree made for it."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sights import Paths, file, link, sight

from dsvm.ledger import contents
from dsvm.ledger.elf import Needs
from dsvm.ledger.properties import Sight
from dsvm.ledger.properties.accounts import accounts, sudoers
from dsvm.ledger.properties.authorities import authorities, java_store
from dsvm.ledger.properties.leftovers import leftovers
from dsvm.ledger.properties.libraries import ld_cache, libraries
from dsvm.ledger.properties.programs import broken_links, hidden_programs
from dsvm.ledger.properties.rights import capabilities, rights
from dsvm.ledger.properties.secrets import secrets
from dsvm.model import Entry

NET_RAW = "security.capability=" + struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0).hex()


# --- rights --------------------------------------------------------------------------------------------------


def test_rights_beyond_the_package_s_own_are_found() -> None:
    own = {"/bin/su": file(mode=0o4755), "/bin/wall": file(mode=0o2755), "/bin/ping": file(xattrs=(NET_RAW,))}
    wrong = {
        "/bin/mine": file(mode=0o4755),
        "/bin/ours": file(mode=0o2755),
        "/bin/dump": file(xattrs=(NET_RAW,)),
        "/open": Entry("folder", 0o777),
        "/wide": file(mode=0o666),
        "/listed": file(xattrs=("system.posix_acl_access",)),
    }
    fine = {"/tmp": Entry("folder", 0o1777), "/link": link("/tmp")}
    said = {(one.verdict, one.path) for one in rights(sight(own=own, paths=fine | wrong))}
    assert said == {
        ("setuid", "/bin/mine"),
        ("setgid", "/bin/ours"),
        ("capability", "/bin/dump"),
        ("writable", "/open"),
        ("writable", "/wide"),
        ("writable", "/listed"),
    }


def test_a_package_s_program_with_more_rights_than_it_has_is_found() -> None:
    """Its path alone excuses nothing."""
    seen = sight(own={"/bin/ping": file()})
    changed = file(mode=0o4755, xattrs=(NET_RAW,)), 0
    said = [one.verdict for one in rights(Sight({"/bin/ping": changed}, seen.wanted))]
    assert said == ["setuid", "capability"]


def test_capabilities_are_named() -> None:
    assert capabilities(NET_RAW.partition("=")[2]) == "net_raw"
    assert capabilities(struct.pack("<5I", 0x02000001, 1 << 21, 0, 1 << 7, 0).hex()) == "sys_admin, bpf"
    assert capabilities("") == capabilities("00") == "none by name"


# --- accounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("/etc/passwd", "root:x:0:0::/root:/bin/sh", None),
        ("/etc/passwd", "toor:x:0:0::/root:/bin/sh", "uid 0"),
        ("/etc/passwd", "eve:x:1001:1001::/:/bin/sh", "nobody asked for"),
        ("/etc/passwd", "ds:x:1001:1000::/:/bin/sh", "nobody asked for"),
        ("/etc/passwd", "ds::1000:1000::/:/bin/sh", "empty password"),
        ("/etc/passwd", "ds:$1$abc:1000:1000::/:/bin/sh", "the same in every copy"),
        ("/etc/passwd", "nonsense", "no account"),
        ("/etc/passwd", "ds:x:1000:1000::/home/ds:/bin/bash\nnobody:x:65534:65534::/:/bin/false", None),
        ("/etc/shadow", "root:*:1::::::\nds:!:1::::::", None),
        ("/etc/shadow", "ds::1::::::", "empty password"),
        ("/etc/shadow", "ds:$y$abc:1::::::", "the same in every copy"),
        ("/etc/gshadow", "ds:!::\nusers:::", None),
        ("/etc/gshadow", "sudo:$y$abc::", "the same in every copy"),
        ("/etc/group", "users:x:100:ds\nsudo:x:27:", None),
        ("/etc/group", "sudo:x:27:ds", "in the group sudo"),
        ("/etc/group", "docker:x:999:ds,eve", "in the group docker"),
    ],
)
def test_accounts_that_nobody_expects_are_found(path: str, text: str, words: str | None) -> None:
    said = [one.what for one in accounts(sight(paths={path: text}))]
    assert (said and all(words in one or "eve" in one for one in said)) if words else said == []


def test_a_user_whose_own_group_is_root_s_is_found() -> None:
    paths: Paths = {"/etc/group": "root:x:0:", "/etc/passwd": "ds:x:1000:0::/home/ds:/bin/bash"}
    (one,) = accounts(sight(paths=paths))
    assert one.verdict == "account" and "ds's own group is root" in one.what


def test_doors_that_are_open_are_found() -> None:
    usual = (
        "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n"
    )
    paths: Paths = {
        "/home/ds/.ssh/authorized_keys": "ssh-ed25519 AAAA eve\n",
        "/etc/pam.d/common-auth": "auth sufficient pam_permit.so\n" + usual,
        "/etc/pam.d/common-account": usual,
        "/root/.ssh/authorized_keys": "",
    }
    said = [one.path for one in accounts(sight(paths=paths))]
    assert said == ["/home/ds/.ssh/authorized_keys", "/etc/pam.d/common-auth"]


def test_what_sudo_lets_others_do_is_found_where_no_package_says_it() -> None:
    text = "# note\nDefaults env_reset\nUser_Alias ALL_OF = eve\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"
    assert not list(sudoers(sight(own={"/etc/sudoers": text})))
    (one,) = sudoers(sight(paths={"/etc/sudoers": text}))
    assert one.verdict == "sudo" and "%sudo ALL=(ALL:ALL) ALL" in one.what
    more = sight(own={"/etc/sudoers": text}, paths={"/etc/sudoers.d/eve": "eve ALL = \\\n NOPASSWD: ALL"})
    assert [one.path for one in sudoers(more)] == ["/etc/sudoers.d/eve"]


# --- authorities ---------------------------------------------------------------------------------------------

BUNDLE, JAVA = "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/java/cacerts"


def pem(text: str) -> str:
    body = base64.encodebytes(text.encode()).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def jks(*certificates: str) -> bytes:
    """A trust store as Java writes it."""
    entries = b"".join(
        struct.pack(">IH", 2, 5) + b"alias" + struct.pack(">QH", 0, 5) + b"X.509" + struct.pack(">I", len(one)) + one
        for one in (text.encode() for text in certificates)
    )
    return struct.pack(">III", 0xFEEDFEED, 2, len(certificates)) + entries + bytes(20)


@pytest.mark.parametrize(("bundled", "foreign"), [(("another", "good one"), 0), (("good one", "of somebody else"), 1)])
def test_an_authority_of_no_package_is_found(bundled: Sequence[str], foreign: int) -> None:
    own: Paths = {
        "/usr/share/ca-certificates/mozilla/a.crt": pem("good one"),
        "/usr/share/ca-certificates/b.crt": pem("another"),
    }
    planted = {"/usr/share/ca-certificates/c.crt": pem("of somebody else")}
    store = jks(*bundled)
    seen = sight(own=own, paths={**planted, BUNDLE: "".join(map(pem, bundled)), JAVA: file(store)})
    seen.contents.texts[file(store).sha256] = store
    said = [(one.verdict, one.path) for one in authorities(seen)]
    assert said == [("ca-bundle", BUNDLE), ("ca-bundle", JAVA)] * foreign


@pytest.mark.parametrize("data", [b"PK\3\4", jks("a")[:-30], struct.pack(">III", 0xFEEDFEED, 2, 1 << 31)])
def test_a_trust_store_that_cannot_be_read_is_said(data: bytes) -> None:
    seen = sight(paths={JAVA: file(data)})
    seen.contents.texts[file(data).sha256] = data
    (one,) = authorities(seen)
    assert "cannot be read" in one.what
    with pytest.raises(ValueError, match=r"trust store|too early"):
        java_store(data)


# --- programs and links --------------------------------------------------------------------------------------


def test_a_program_that_hides_another_is_found() -> None:
    run = file(mode=0o755)
    own = {"/usr/bin/git": run, "/usr/bin/ls": run, "/usr/bin/cat": run, "/opt/envs/base/bin/ls": run}
    foreign = file("foreign", 0o755)
    paths: Paths = {
        "/usr/local/bin/git": foreign,
        "/usr/local/bin/ls": link("/usr/bin/git"),
        "/usr/local/bin/cat": link("/srv/cat"),
        "/srv/cat": foreign,
        "/usr/local/bin/alone": foreign,
        "/usr/bin/note": run,
        "/usr/local/bin/note": file("note"),
    }
    seen = sight(own=own, paths=paths, environment={"PATH": "/opt/envs/base/bin:/usr/local/bin:/usr/bin"})
    said = [(one.verdict, one.path) for one in hidden_programs(seen)]
    assert said == [("hidden-program", "/usr/local/bin/git"), ("hidden-program", "/usr/local/bin/cat")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/profile.d/zz.sh", "PATH=/srv/bin:$PATH\n"),
        ("/etc/bash.bashrc", 'export PATH="/srv/bin:${PATH}"\n'),
        ("/home/ds/.profile", 'if true; then PATH="$HOME/../../srv/bin:$PATH"; fi\n'),
        ("/root/.bashrc", "declare -x PATH=/srv/bin:/usr/bin\n"),
        ("/etc/environment", 'PATH="/srv/bin:/usr/bin"\n'),
    ],
)
def test_a_program_that_hides_another_in_shells_alone_is_found(path: str, text: str) -> None:
    paths: Paths = {"/srv/bin/git": file("foreign", 0o755), path: text}
    own = {"/usr/bin/git": file(mode=0o755)}
    seen = sight(own=own, paths=paths, environment={"PATH": "/usr/bin"})
    assert [one.path for one in hidden_programs(seen)] == ["/srv/bin/git"]
    quiet = sight(own=own, paths={**paths, path: "# PATH\n"}, environment={"PATH": "/usr/bin"})
    assert not list(hidden_programs(quiet))


def test_links_to_nothing_are_found() -> None:
    paths = {"/bin/gone": link("nowhere"), "/bin/later": link("/proc/self/fd"), "/bin/fine": link("/bin/gone2")}
    own: Paths = {"/bin/own": link("nowhere"), "/bin/gone2": file()}
    assert [one.path for one in broken_links(sight(own=own, paths=paths))] == ["/bin/gone"]


# --- libraries -----------------------------------------------------------------------------------------------


def cache(*libraries: tuple[str, str]) -> bytes:
    """An ld.so.cache as ldconfig writes it."""
    texts, entries = b"", b""
    start = 48 + 24 * len(libraries)
    for name, path in libraries:
        entries += struct.pack("<iIIIQ", 3, start + len(texts), start + len(texts) + len(name) + 1, 0, 0)
        texts += name.encode() + b"\0" + path.encode() + b"\0"
    return b"glibc-ld.so.cache1.1" + struct.pack("<II", len(libraries), len(texts)) + bytes(20) + entries + texts


def linked(
    files: dict[str, Needs], *, cached: Sequence[tuple[str, str]] = (), links: Paths | None = None, **more: Any
) -> list[tuple[str, str]]:
    """Path and words of the libraries that are found missing in an image with these files."""
    data = cache(*cached)
    paths: Paths = {"/etc/ld.so.cache": file(data), **{path: file(path) for path in files}, **(links or {})}
    needs = {file(path).sha256: one for path, one in files.items()}
    seen = sight(paths=paths, needs=needs, **more)
    seen.contents.texts[file(data).sha256] = data
    return [(one.path, one.what) for one in libraries(seen)]


def needing(*libraries: str, folders: Sequence[str] = (), machine: str = "x64") -> Needs:
    return Needs(machine, libraries, tuple(folders))


LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"


def test_libraries_are_where_a_loader_finds_them() -> None:
    files = {
        LIBC: needing(),
        "/usr/lib/special/libspecial.so.1": needing("libc.so.6"),
        "/usr/bin/hello": needing("libc.so.6", "libspecial.so.1", LIBC),
        "/opt/envs/a/site/x.so": needing("libx.so.1", folders=["$ORIGIN/../libs"]),
        "/opt/envs/a/libs/libx.so.1": needing("libc.so.6"),
        "/opt/envs/a/late/y.so": needing("libx.so.1"),  # which Python has loaded before
        "/opt/tool/bin/run": needing("libz.so.1", folders=["${ORIGIN}/../$LIB"]),
        "/opt/tool/lib/x86_64-linux-gnu/libz.so.1.2": needing(),
        "/opt/tool/prebuilt/musl.node": needing("libc.musl-x86_64.so.1", "libgone.so"),
        "/opt/tool/prebuilt/arm.node": needing("libgone.so", machine="AArch64"),
    }
    links = {"/opt/tool/lib/x86_64-linux-gnu/libz.so.1": link("libz.so.1.2")}
    assert linked(files, links=links, cached=[("libspecial.so.1", "/usr/lib/special/libspecial.so.1")]) == []


@pytest.mark.parametrize(
    ("files", "cached"),
    [
        ({"/usr/bin/hello": needing("libgone.so.1")}, []),
        ({"/usr/bin/hello": needing("/usr/lib/libgone.so.1")}, []),
        ({"/usr/bin/hello": needing("libgone.so.1")}, [("libgone.so.1", "/usr/lib/libgone.so.1")]),
        # what another environment has is of no use, nor what is made for another processor
        ({"/opt/envs/a/x.so": needing("libgone.so.1"), "/opt/envs/b/libgone.so.1": needing()}, []),
        ({"/opt/envs/a/x.so": needing("libgone.so.1"), "/opt/envs/a/libgone.so.1": needing(machine="AArch64")}, []),
    ],
)
def test_a_library_that_nothing_provides_is_found(files: dict[str, Needs], cached: Sequence[tuple[str, str]]) -> None:
    ((path, words),) = linked({LIBC: needing(), **files}, cached=cached)
    assert path == next(iter(files)) and "libgone.so.1" in words


def test_a_library_may_lack_where_a_tool_says_so_or_the_driver_brings_it() -> None:
    files = {"/opt/tool/x.so": needing("libgtk.so.1")}
    assert linked(files) and not linked(files, lacks=("libgtk.*",)) and not linked(files, lacks=("/opt/*/x.so",))
    driver = {"/opt/envs/a/x.so": needing("libcuda.so.1")}
    assert linked(driver) and not linked(driver, has_driver=True)


@given(st.binary(max_size=200))
def test_a_broken_cache_of_libraries_is_none(data: bytes) -> None:
    assert isinstance(ld_cache(b"glibc-ld.so.cache1.1" + data), list)
    assert ld_cache(data) == []


# --- secrets -------------------------------------------------------------------------------------------------

HOME = "/home/ds"
RANDOM = "q8Zr2LxV7bN4tYp1KcWe6HsD"  # put together here, so that nobody takes this file for one that leaks
SECRETS = {
    f"{HOME}/.netrc": "machine example.org\nlogin me\npassword x1y2z3\n",
    f"{HOME}/.ssh/id_ed25519": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3Blbn\n",
    f"{HOME}/.git-credentials": "https://me:" + "x1y2z3@example.org\n",
    f"{HOME}/.pgpass": "localhost:5432:db:me:" + "x1y2z3\n",
    f"{HOME}/.docker/config.json": '{"auths": {"example.org": {"auth": "' + "bWU6eDF5Mnoz" + '"}}}\n',
    f"{HOME}/.kube/config": "users:\n- user:\n    token: " + RANDOM + "\n",
    f"{HOME}/.npmrc": "//example.org/:_authToken=" + RANDOM + "\n",
    f"{HOME}/.cache/huggingface/token": "hf_" + RANDOM + RANDOM + "\n",
    f"{HOME}/.aws/credentials": "[default]\naws_access_key_id = AKIA" + "QWERTZUIOPASDFGH\n",
    f"{HOME}/.config/gh/hosts.yml": "github.com:\n    oauth_token: ghp_" + (RANDOM * 2)[:36] + "\n",
    "/etc/pip.conf": "[global]\nindex-url = https://me:" + "x1y2z3@example.org/simple\n",
    "/etc/app/app.ini": "db_password = x1y2z3\n",
    "/srv/app/settings.py": 'KEY = "' + "6fe4476ee5a1832882e326b506d14126" + '"\n',
    "/srv/app/start.sh": "export API_TOKEN=" + RANDOM + "\n",
    "/opt/c/conda-meta/x.json": '{"url": "https://me:' + 'x1y2z3@example.org/x.conda"}\n',
}
HARMLESS = {
    "/etc/app/empty.ini": "password =\npassword = ${PASSWORD}\n# password = example\nsecret = <yours>\n",
    "/etc/app/start.sh": 'password=$(cat /run/secret)\ntoken="$1"\nread -r passwd\n',
    "/etc/sudoers.d/ds": "ds ALL=(ALL:ALL) NOPASSWD: ALL\n",
    "/etc/app/urls.conf": "mirror = https://example.org/simple\nmail = me@example.org\n",
    "/srv/app/numbers.py": 'ID = "123e4567-e89b-12d3-a456-426614174000"\nRANGE = "0123456789abcdef"\n',
    "/etc/cloud/cloud.cfg.d/99.cfg": "  lock_passwd: true\n  ssh_deletekeys: false\n  password: none\n",
    "/opt/c/conda-meta/x-1.0-0.json": '{"sha256": "6fe4476ee5a1832882e326b506d14126"}\n',
    "/srv/app/data.bin": "\0password = x1y2z3\n",
    "/opt/envs/base/lib/x-1.0.dist-info/RECORD": "x.py,sha256=" + "LCdbG4xkBaTb6PGfWwxLr7bLEA4SBxg5aVzqkAnBQDg,1\n",
}


@pytest.mark.parametrize("path", SECRETS)
def test_a_secret_is_found_and_not_told(path: str) -> None:
    seen = sight(paths={path: SECRETS[path]}, fetch=lambda paths: [(one, SECRETS[one].encode()) for one in paths])
    (one,) = secrets(seen)
    assert (one.verdict, one.path) == ("secret", path)
    assert "line" in one.what and RANDOM not in one.what and "x1y2z3" not in one.what


@pytest.mark.parametrize("path", HARMLESS)
def test_what_only_looks_like_a_secret_is_none(path: str) -> None:
    seen = sight(paths={path: HARMLESS[path]}, fetch=lambda paths: [(one, HARMLESS[one].encode()) for one in paths])
    assert list(secrets(seen)) == []


def test_in_what_packages_configure_only_what_has_a_form_of_its_own_is_a_secret() -> None:
    guess, key = "/etc/app/app.ini", f"{HOME}/.ssh/id_ed25519"
    own = {path: SECRETS[path] for path in (guess, key)}
    assert [one.path for one in secrets(sight(own=own))] == [key]
    assert [one.path for one in secrets(sight(own={guess: own[guess]}, planned=frozenset({guess})))] == [guess]


def test_secrets_of_the_environment_are_found_and_not_told() -> None:
    (one,) = secrets(sight(environment={"PATH": "/usr/bin", "LANG": "C.UTF-8", "DB_PASSWORD": "x1y2z3"}))
    assert one.path == "/" and "DB_PASSWORD" in one.what and "x1y2z3" not in one.what


def test_a_secret_in_a_line_without_end_is_found_in_time() -> None:
    text = "://:" * 60_000 + SECRETS["/etc/pip.conf"] + "x://" * 60_000
    (one,) = secrets(sight(paths={"/etc/app/one-line.json": text.replace("\n", " ")}))
    assert one.what.endswith("line 1: Basic Auth Credentials")


def test_what_was_not_searched_is_said() -> None:
    paths: Paths = {f"/srv/{number}": Entry("file", 0o644, size=1, sha256=f"{number}") for number in range(3002)}
    (one,) = secrets(sight(paths=paths))
    assert (one.verdict, one.what.split()[0]) == ("unread", "2")


# --- what work leaves behind ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/root/.bash_history", "history"),
        (f"{HOME}/.python_history", "history"),
        ("/etc/machine-id", "name of one machine"),
        ("/var/lib/systemd/random-seed", "chance"),
        ("/etc/ssh/ssh_host_ed25519_key", "key of one machine"),
        (f"{HOME}/.cache/pip/http/a", "a cache"),
        ("/var/cache/apt/archives/hello.deb", "a cache"),
        ("/var/lib/apt/lists/main_Packages", "a cache"),
        ("/var/log/dpkg.log", "a log"),
        (f"{HOME}/work/run.log", "a log"),
        ("/tmp/build/x.o", "for a while"),
        (f"{HOME}/.bashrc", None),
        ("/srv/app/history", None),
    ],
)
def test_what_work_leaves_behind_is_found(path: str, words: str | None) -> None:
    said = [one.what for one in leftovers(sight(paths={path: "text\n"}))]
    assert (len(said) == 1 and words in said[0]) if words else said == []
    assert not list(leftovers(sight(own={path: "text\n"})))


def test_a_machine_id_without_a_name_is_fine() -> None:
    paths: Paths = {"/etc/machine-id": "uninitialized\n", "/var/lib/dbus/machine-id": "", "/var/log/empty.log": ""}
    assert not list(leftovers(sight(paths=paths)))


# --- what is kept of contents --------------------------------------------------------------------------------


def packed(files: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


def test_settings_and_needs_are_kept_and_nothing_else(tmp_path: Path) -> None:
    program = Path("/bin/sh").resolve().read_bytes()
    files = {
        "etc/app/a.conf": b"\xff\x00setting",
        "usr/share/b.txt": b"text",
        "bin/sh": program,
        "etc/big": b"a" * (2 << 20),
    }
    entries, kept = contents.read(packed(files))
    digests = {path: entry.sha256 for path, entry in entries}
    assert digests == {f"/{name}": hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert kept.texts == {digests["/etc/app/a.conf"]: b"\xff\x00setting"}
    assert list(kept.needs) == [digests["/bin/sh"]]
    assert any(one.startswith("libc.so") for one in kept.needs[digests["/bin/sh"]].libraries)
    contents.keep(tmp_path / "kept", kept)
    assert contents.kept(tmp_path / "kept") == kept
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600


def broken() -> Iterator[bytes]:
    program = Path("/bin/sh").resolve().read_bytes()
    yield program[:20]
    yield program[: len(program) // 2]
    yield program[:40] + bytes([255] * 16) + program[56:]  # where its tables are
    yield program[:64] + bytes([255] * 400) + program[464:]


@pytest.mark.parametrize("data", list(broken()))
def test_a_broken_program_hides_no_other_file(data: bytes) -> None:
    entries, kept = contents.read(packed({"x.so": data, "etc/a": b"a"}))
    assert [path for path, _ in entries] == ["/x.so", "/etc/a"] and len(kept.texts) == 1


@pytest.mark.parametrize("data", [b"", b"no list", b"\x28\xb5\x2f\xfd\x00"])
def test_what_was_kept_in_another_form_is_read_again(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "kept").write_bytes(data)
    assert contents.kept(tmp_path / "kept") is None
