"""What making a machine adds is told as narrowly as it can be; whatever differs by a line is nobody's."""

from __future__ import annotations

import gzip
import stat
from collections.abc import Sequence
from fnmatch import fnmatchcase

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from sights import Paths, file, link, sight

from dsvm.checks import MACHINE, accounted
from dsvm.ecosystems.apt.generated import GENERATED, generated
from dsvm.ledger import Account, Difference
from dsvm.ledger.comparing import is_as_promised
from dsvm.ledger.properties.accounts import accounts
from dsvm.model import Entry, Pin, Section
from dsvm.vm import added, cpio, initramfs

UNITS = "/usr/lib/systemd/system"
KERNEL = "/boot/vmlinuz-6.1"
GRUB = "GRUB_DEFAULT=0\nGRUB_DISTRIBUTOR=`( . /etc/os-release )`\nGRUB_DISABLE_OS_PROBER=true\n"


def explained(paths: Paths) -> set[str]:
    """The paths of a disk that are as making it leaves them."""
    disk = sight(paths=paths)
    found: dict[str, list[Entry]] = {}
    for path, entry in added.entries(disk):
        found.setdefault(path, []).append(entry)
    return {
        path
        for path, (entry, _) in disk.tree.items()
        if any(is_as_promised(entry, one) and one.mode in (-1, entry.mode) for one in found.get(path, ()))
    }


@pytest.mark.parametrize(
    ("path", "right", "wrong"),
    [
        ("/etc/hosts.allow", "# ALL: LOCAL\n\n", "ALL: ALL: spawn /bin/evil\n"),
        ("/etc/locale.conf", "LANG=C.UTF-8\n", "LD_PRELOAD=/evil.so\n"),
        ("/etc/modules", "# modules\n", "# modules\nevil\n"),
        ("/etc/networks", "default\t0.0.0.0\n", "evil 1.2.3.4\n"),
        ("/etc/python3/debian_config", "[DEFAULT]\nbyte-compile = standard\n", "byte-compile = evil\n"),
        ("/boot/grub/grubenv", "# GRUB Environment Block\n####", "# GRUB Environment Block\nsaved_entry=1\n##"),
        ("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "datasource_list: [ NoCloud, None ]\n", "runcmd: [evil]\n"),
        ("/etc/.updated", "# made by\nTIMESTAMP_NSEC=17\n", "TIMESTAMP_NSEC=$(evil)\n"),
        ("/etc/hosts.deny", "#" * 100, "#" * (2 << 20)),  # nobody reads files of such a size
    ],
)
def test_a_file_with_another_line_than_those_that_are_known_is_nobody_s(path: str, right: str, wrong: str) -> None:
    assert explained({path: right}) == {path}
    assert explained({path: wrong}) == set()
    assert explained({path: file(right, mode=0o666)}) == set()
    assert explained({path: link("/etc/passwd"), "/etc/passwd": right}) == set()


def test_the_name_of_a_machine_is_nobody_s() -> None:
    assert explained({added.MACHINE_ID: file("", mode=0o444)}) == {added.MACHINE_ID}
    assert explained({"/x": "uninitialized\n", added.MACHINE_ID: file("uninitialized\n", mode=0o444)}) == {
        added.MACHINE_ID
    }
    named = "0123456789abcdef0123456789abcdef\n"
    assert explained({"/x": named, added.MACHINE_ID: file(named, mode=0o444)}) == set()


def test_settings_of_grub_are_its_template_but_for_one_line() -> None:
    template: Paths = {"/usr/share/grub/default/grub": GRUB}
    path = "/etc/default/grub"
    assert explained({**template, path: GRUB.replace("GRUB_DISABLE", "#GRUB_DISABLE")}) == {path}
    assert explained({**template, path: GRUB + "GRUB_CMDLINE_LINUX=init=/bin/sh\n"}) == set()
    assert explained({path: GRUB}) == set(), "there is no template"


@pytest.mark.parametrize(
    ("path", "target", "more", "right"),
    [
        ("/etc/mtab", "../proc/self/mounts", (), True),
        ("/etc/mtab", "/home/ds/mounts", (), False),
        ("/etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target", (), True),
        ("/etc/systemd/system/default.target", "/lib/systemd/system/rescue.target", (), False),
        ("/vmlinuz", KERNEL, (KERNEL,), True),
        ("/boot/vmlinuz.old", "vmlinuz-6.1", (KERNEL,), True),
        ("/vmlinuz", "/home/ds/vmlinuz-6.1", ("/home/ds/vmlinuz-6.1",), False),
        ("/vmlinuz", "boot/initrd.img-6.1", ("/boot/initrd.img-6.1",), False),
        ("/vmlinuz", KERNEL, (), False),
        # a link to nothing masks a unit
        ("/etc/systemd/system/nftables.service", "/dev/null", (), False),
    ],
)
def test_a_link_leads_where_it_has_to(path: str, target: str, more: Sequence[str], right: bool) -> None:
    assert (path in explained({path: link(target), **dict.fromkeys(more, "data")})) == right


def test_a_unit_has_the_other_names_that_its_file_says() -> None:
    unit: Paths = {
        f"{UNITS}/ssh.service": "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
        f"{UNITS}/ssh.socket": "[Install]\nRequiredBy=ssh.service\n",
        "/lib": link("usr/lib"),
    }
    etc = "/etc/systemd/system"
    right = {f"{etc}/sshd.service": "ssh.service", f"{etc}/ssh.service.requires/ssh.socket": "ssh.socket"}
    wrong = {f"{etc}/cron.service": "ssh.service", f"{etc}/sshd.socket": "ssh.socket"}
    for folder in ("/lib/systemd/system", UNITS):
        links = {path: link(f"{folder}/{name}") for path, name in (right | wrong).items()}
        assert explained({**unit, **links}) == right.keys()
    assert explained({**unit, f"{etc}/sshd.service": link("/etc/systemd/system/evil.service")}) == set()


def test_rights_that_scripts_set_are_those_of_one_group() -> None:
    agent, group = "/usr/bin/ssh-agent", "root:x:0:\n_ssh:x:106:\n"
    assert explained({"/etc/group": group, agent: file(mode=0o2755, gid=106)}) == {agent}
    assert explained({"/etc/group": group, agent: file(mode=0o4755, gid=106)}) == set()
    promised = dict(added.entries(sight(paths={"/etc/group": group, agent: file(mode=0o2755)})))
    assert (promised[agent].uid, promised[agent].gid) == (0, 106)
    assert explained({"/etc/group": "_ssh:x:0:\n", agent: file(mode=0o2755)}) == set(), "that would be root's"
    rules, passwd = "/etc/polkit-1/rules.d", "root:x:0:0::/root:/bin/sh\npolkitd:x:990:990::/:/usr/sbin/nologin\n"
    promised = dict(added.entries(sight(paths={"/etc/passwd": passwd, rules: Entry("folder", 0o700, 990, 0)})))
    assert promised[rules] == Entry("folder", 0o700, 990, 0)
    assert rules not in dict(added.entries(sight(paths={rules: Entry("folder", 0o700, 990, 0)})))


def test_what_a_package_makes_is_expected_with_that_package_alone() -> None:
    def patterns(*names: str) -> list[str]:
        pins = tuple(Pin.model_construct(name=name) for name in names)  # type: ignore[call-arg]
        section = Section.model_construct(id="machine", formats=("qcow2",), pins=pins)  # type: ignore[call-arg]
        return [one.pattern for one in generated(section) if one not in GENERATED]

    module = "/usr/lib/modules/6.8/updates/dkms/nvidia.ko.zst"
    assert any(fnmatchcase(module, one) for one in patterns("dkms"))
    assert not any(fnmatchcase(module, one) for one in patterns("kmod"))
    for path in ("/usr/bin/env", "/usr/lib/modules/6.8/kernel/x.ko", "/etc/systemd/system/x", "/root/.ssh/x"):
        assert not any(fnmatchcase(path, one) for one in patterns("dkms")), path


def test_only_whom_the_plan_trusts_may_become_root() -> None:
    group = "sudo:x:27:ds\ndocker:x:28:ds\nadm:x:4:ds\n"
    shadow: Paths = {"/etc/passwd": "", "/etc/group": group}
    assert len([*accounts(sight(paths=shadow))]) == 2
    (one,) = accounts(sight(paths=shadow, trusted=frozenset({("ds", "sudo")})))
    assert "docker" in one.what


def test_a_disk_has_the_checks_of_an_image_without_settings_and_layers() -> None:
    def names(tool: str) -> set[str]:
        return {one.check for one in accounted(Account("x", 1, 1, found, {}), 1, tool) if one.tool == tool}

    found = (Difference("unexplained", "/x", "y"),)
    assert names("image") - names(MACHINE) == {"settings and labels", "layers are those of its build"}
    failed = [one for one in accounted(Account("x", 1, 1, found, {}), 1, MACHINE) if one.outcome == "failed"]
    assert [(one.tool, one.check) for one in failed] == [("machine", "every file is explained")]


# --- what a machine starts from in memory --------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda one: one != cpio.LAST)
PROGRAM = stat.S_IFREG | 0o755


def archive(*members: cpio.Member, links: int = 1) -> bytes:
    found = b""
    for one in (*members, cpio.Member(cpio.LAST, 0, b"")):
        name = one.path.encode() + b"\0"
        numbers = (7, one.mode, 0, 0, links, 0, len(one.data), 0, 0, 0, 0, len(name), 0)
        for piece in (b"070701" + b"".join(b"%08x" % number for number in numbers) + name, one.data):
            found += piece + bytes(-len(piece) % 4)
    return found


@given(
    st.lists(st.tuples(NAMES, st.sampled_from([PROGRAM, stat.S_IFLNK]), st.binary()).map(lambda one: cpio.Member(*one)))
)
def test_an_archive_is_read_as_it_was_packed_however_that_was(members: list[cpio.Member]) -> None:
    packed = archive(*members)
    for data in (packed, zstd.compress(packed), gzip.compress(packed), bytes(512) + packed + bytes(7)):
        assert [*cpio.members(data)] == members
    early = archive(cpio.Member("kernel/microcode", PROGRAM, b"early"))
    assert [one.path for one in cpio.members(early + bytes(100) + zstd.compress(packed))][1:] == [
        one.path for one in members
    ]


@given(st.binary())
def test_what_is_no_archive_is_refused_and_not_guessed(data: bytes) -> None:
    for one in (data, b"070701" + data, cpio.ZSTD + data, cpio.GZIP + data):
        try:
            list(cpio.members(one))
        except ValueError:
            continue
        assert not one.strip(b"\0")


def test_a_hard_link_has_the_content_of_its_file() -> None:
    names = cpio.Member("usr/bin/ash", PROGRAM, b""), cpio.Member("usr/bin/sh", PROGRAM, b"shell")
    assert [one.data for one in cpio.members(archive(*names, links=2))] == [b"shell", b"shell"]
    with pytest.raises(ValueError, match="cut off"):
        list(cpio.members(archive(names[1])[:-130]))


DISK: Paths = {
    "/lib": link("usr/lib"),
    "/usr/lib/modules/6.1/a.ko": "module",
    "/usr/share/initramfs-tools/init": "init",
    "/usr/lib/initramfs-tools/bin/busybox": "busybox",
    "/usr/sbin/modprobe": link("/bin/kmod"),
    "/usr/bin/kmod": "kmod",
    "/bin": link("usr/bin"),
}


@pytest.mark.parametrize(
    ("path", "data", "kind", "why"),
    [
        ("usr/lib/modules/6.1/a.ko", "module", stat.S_IFREG, ""),
        ("lib/modules/6.1/a.ko", "module", stat.S_IFREG, ""),
        ("usr/lib/modules/6.1/a.ko", "evil", stat.S_IFREG, "no file of the disk"),
        ("usr/lib/modules/6.1/modules.dep.bin", "lists", stat.S_IFREG, ""),
        ("init", "init", stat.S_IFREG, ""),
        ("init", "busybox", stat.S_IFREG, "no file of the disk"),
        ("usr/bin/wget", "busybox", stat.S_IFREG, ""),
        ("usr/bin/../../init", "busybox", stat.S_IFREG, "leads elsewhere"),
        ("scripts/init-top/evil", "evil", stat.S_IFREG, "no file of the disk"),
        ("scripts/init-top/ORDER", '/scripts/init-top/udev "$@"\n', stat.S_IFREG, ""),
        ("scripts/init-top/ORDER", '/scripts/init-top/udev "$@"; evil\n', stat.S_IFREG, "no file of the disk"),
        ("conf/initramfs.conf", "# all\nMODULES=most\nRUNSIZE=10%\n", stat.S_IFREG, ""),
        ("conf/initramfs.conf", "MODULES=$(evil)\n", stat.S_IFREG, "no file of the disk"),
        ("usr/sbin/modprobe", "/bin/kmod", stat.S_IFLNK, ""),
        ("usr/sbin/modprobe", "/bin/evil", stat.S_IFLNK, "leads to /bin/evil"),
        ("etc/mtab", "/proc/mounts", stat.S_IFLNK, ""),
        ("dev/sda", "", stat.S_IFBLK, "device"),
    ],
)
def test_nothing_is_started_that_the_disk_has_not(path: str, data: str, kind: int, why: str) -> None:
    tree = sight(paths=DISK).tree
    found = [*initramfs.strange(archive(cpio.Member(path, kind | 0o755, data.encode())), tree)]
    assert [one for one, _ in found] == ([path] if why else [])
    assert all(why in said for _, said in found)
