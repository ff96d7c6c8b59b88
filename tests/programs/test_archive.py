"""The archive that installs an image on a machine: what is in it, and the shell that runs it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny
from powershell import faults
from tiny import project

from dsvm import lock as locks
from dsvm.cloud import archive
from dsvm.cloud.target import FORMATS
from dsvm.container import buildkit as docker
from dsvm.host import bundled
from dsvm.model import Format, Pin, Plan, StoreError
from dsvm.plan import make_plan
from dsvm.plan import rendering as render
from dsvm.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def plan_for(store: Store, format: Format = "azure") -> Plan:
    """The small catalog's machine, with artefacts that are in the store."""
    catalog = tiny.machine_catalog()
    return with_artefacts(make_plan(catalog, tiny.lock(catalog, "tiny-machine"), format), store)


def with_artefacts(plan: Plan, store: Store) -> Plan:
    def kept(pin: Pin) -> Pin:
        path = store.root.parent / "artefact"
        path.write_text(f"{pin.name} {pin.version}")
        sha256, size = store.add(path)
        return pin.model_copy(update={"sha256": sha256, "size": size})

    sections = tuple(one.model_copy(update={"pins": tuple(kept(pin) for pin in one.pins)}) for one in plan.sections)
    return plan.model_copy(update={"sections": sections})


def layout(folder: Path, *layers: bytes) -> tuple[Path, str]:
    """An OCI layout with these layers."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"sha256:{digest}"

    manifest = {"layers": [{"digest": put(data)} for data in layers]}
    return folder, put(json.dumps(manifest).encode())


def written(tmp_path: Path, store: Store, name: str = "build") -> archive.Archive:
    plan = plan_for(store)
    render.write(plan, tmp_path / name)
    base = tmp_path / "layout"
    return archive.write(plan, store, layout(base, b"one") if not base.exists() else known(base), tmp_path / name)


def known(base: Path) -> tuple[Path, str]:
    digest = next(path.name for path in (base / "blobs/sha256").iterdir() if b"layers" in path.read_bytes())
    return base, f"sha256:{digest}"


def test_the_archive_holds_what_the_steps_of_a_container_build_read(tmp_path: Path, store: Store) -> None:
    made = written(tmp_path, store)
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.sha256
    assert made.path.stat().st_size == made.size
    with tarfile.open(made.path) as tar:
        members = {member.name: member for member in tar}
        assert tar.extractfile("dsvm/base/000").read() == b"one"  # type: ignore[union-attr]
    assert all(name.startswith("dsvm/") for name in members)
    plan = plan_for(store)
    for stage in plan.stages:
        for step in stage.steps:
            assert members[f"dsvm/bin/{step.script}"].mode == 0o755
            for section in step.sections:
                assert f"dsvm/store/{section}/section.json" in members
    assert {"dsvm/install", "dsvm/lib/run-step", "dsvm/files/etc/dsvm/manifest.json"} <= set(members)
    assert all((one.uid, one.gid, one.uname, one.mtime) == (0, 0, "", plan.epoch) for one in members.values())


def test_packages_that_belong_together_come_together(tmp_path: Path, store: Store) -> None:
    """The vendor's machine has other versions of what base and machine have: one transaction sees all of them."""
    with tarfile.open(written(tmp_path, store).path) as tar:
        system = {Path(name).name for name in tar.getnames() if name.startswith("dsvm/store/system/")}
    wanted = {
        pin.filename
        for section in plan_for(store).sections
        if section.id in ("base", "system", "machine")
        for pin in section.pins
    }
    assert wanted <= system


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path, store: Store) -> None:
    first = written(tmp_path, store)
    os.umask(0o077)
    try:
        second = written(tmp_path, store, "again")
    finally:
        os.umask(0o022)
    assert first.sha256 == second.sha256


def test_a_missing_artefact_leaves_no_archive(tmp_path: Path, store: Store) -> None:
    plan = plan_for(store)
    render.write(plan, tmp_path / "build")
    store.path(plan.sections[-1].pins[0].sha256).unlink()
    with pytest.raises(StoreError):
        archive.write(plan, store, layout(tmp_path / "layout", b""), tmp_path / "build")
    assert not (tmp_path / "build" / "install.tar").exists()


def test_the_list_of_stages_is_that_of_the_dockerfile(store: Store) -> None:
    """Same stages, same commands, same order; nothing is written down twice."""
    plan = plan_for(store)
    lines = archive.install_text(plan).splitlines()
    steps = [line.removeprefix("step ") for line in lines if line.startswith("step ")]
    assert plan.machine is not None
    wanted = [render.shell_form(step) for stage in plan.stages for step in stage.steps]
    assert steps == [*wanted, render.shell_form(plan.machine.finish)]
    assert lines.count("deliver") == sum(stage.output for stage in plan.stages)
    assert lines[-1] == "finish"
    before = {"base"}
    for line in lines:
        if line.startswith("in_stage "):
            _, name, *parents = line.split()
            assert before.issuperset(parents), "a stage comes after those that it starts from"
            before.add(name)


OURS = project()
LOCKED = [
    (variant, format)
    for variant in sorted(OURS.variants)
    for format in FORMATS
    if format in OURS.variants[variant].formats and locks.find(OURS, variant) is not None
]


@pytest.mark.parametrize(("variant", "format"), LOCKED)
def test_what_our_own_variants_install_is_in_their_archives(variant: str, format: Format, tmp_path: Path) -> None:
    """Whatever ecosystem it comes from: scripts and artefacts of all steps go along, stages in an order that works."""
    lock = locks.find(OURS, variant)
    assert lock is not None
    plan = make_plan(OURS, lock, format)
    assert plan.machine is not None
    carried = docker.stores(plan.model_copy(update={"machine": None}))
    handed = {"base"}
    for stage in plan.stages:
        changes_machine = stage.name in (plan.system, plan.machine.stage)
        assert changes_machine or handed.issuperset({stage.parent, *stage.brings})
        handed.add(stage.name)
        for step in stage.steps:
            assert {step.script, *step.helpers} <= plan.scripts.keys()
            assert carried.keys() >= set(step.sections)
    path = tmp_path / "install"
    path.write_text(archive.install_text(plan))
    done = subprocess.run([bundled("shellcheck"), path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_stage_names_what_it_begins_with_beside_its_parent(store: Store) -> None:
    plan = plan_for(store)
    first, second = [stage for stage in plan.stages if stage.output][:2]
    brought = second.model_copy(update={"brings": (first.name, "x")})
    stages = tuple(brought if stage == second else stage for stage in plan.stages)
    lines = archive.install_text(plan.model_copy(update={"stages": stages})).splitlines()
    place = lines.index(f"in_stage {second.name} {second.parent} {first.name} x")
    assert lines[place + 1].startswith("step ")


def test_the_list_is_clean_for_shellcheck(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "install"
    path.write_text(archive.install_text(plan_for(store)))
    done = subprocess.run([bundled("shellcheck"), path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_words_of_steps_are_data(store: Store) -> None:
    plan = plan_for(store)
    nasty = "$(touch /tmp/dsvm-nasty) `id` \"x\" 'y' ; #"
    stages = tuple(
        stage.model_copy(update={"steps": tuple(s.model_copy(update={"args": (nasty,)}) for s in stage.steps)})
        for stage in plan.stages
    )
    text = archive.install_text(plan.model_copy(update={"stages": stages}))
    line = next(line for line in text.splitlines() if line.startswith("step "))
    done = subprocess.run(["bash", "-c", f'step() {{ printf "%s\\n" "$@"; }}; {line}'], capture_output=True, text=True)
    assert done.stdout.splitlines()[1] == nasty


def test_the_small_files_of_a_machine_are_not_those_of_a_disk_that_was_laid_out(store: Store) -> None:
    """A vendor's machine keeps its own file systems, boot loader, name and network."""
    cloud, disk = plan_for(store), plan_for(store, "qcow2")
    only = set(disk.files) - set(cloud.files)
    assert {"/etc/fstab", "/boot/grub/grub.cfg", "/etc/hostname"} <= only
    assert not set(cloud.files) - set(disk.files)
    assert not [path for path, file in cloud.files.items() if re.search(r"@[A-Z_]+@", file.text or "")]


def test_a_base_of_two_layers_loses_what_the_second_takes_away(tmp_path: Path) -> None:
    """As https://github.com/opencontainers/image-spec says; of the program itself only the paths are the test's."""
    if os.geteuid() != 0:
        pytest.skip("files of other users are unpacked: needs root")
    library = (archive.LIBRARY / "install-lib.sh").read_text().replace("dsvm=/dsvm", f"dsvm={tmp_path}")
    (tmp_path / "lib.sh").write_text(library.replace("/etc/dsvm/manifest.json", str(tmp_path / "no")))
    (tmp_path / "base").mkdir()

    def layer(number: int, **files: str) -> None:
        with tarfile.open(tmp_path / f"base/{number:03}", "w") as tar:
            for name in files.values():
                member = tarfile.TarInfo(name)
                tar.addfile(member)

    layer(0, a="etc/one", b="etc/two", c="opt/x/deep", d="opt/keep", e=".top")
    layer(1, a="etc/.wh.one", b="opt/x/.wh..wh..opq", c="opt/x/new", d=".wh..top")
    subprocess.run(["bash", "-c", f"source {tmp_path}/lib.sh; begin"], check=True)
    found = {str(path.relative_to(tmp_path / "work/base")) for path in (tmp_path / "work/base").rglob("*")}
    assert found == {"etc", "etc/two", "opt", "opt/keep", "opt/x", "opt/x/new"}


def patched(folder: Path, places: Mapping[str, str]) -> Path:
    """The library and its programs with paths of the test's in the place of their own; nothing else is changed."""
    for source in archive.LIBRARY.iterdir():
        text = source.read_text()
        for before, after in {"dsvm=/dsvm": f"dsvm={folder}", **places}.items():
            text = text.replace(before, after)
        target = folder / "lib" / source.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
        target.chmod(0o755)
    return folder / "lib" / "install-lib.sh"


def layer_of(path: Path, *programs: str) -> None:
    """A layer with programs of this host and the libraries that they load."""
    files = {str(shutil.which(name)) for name in programs}
    shown = subprocess.run(["ldd", *files], capture_output=True, text=True, check=True).stdout
    files |= set(re.findall(r"(/\S+) \(0x", shown))
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w", dereference=True) as tar:
        for file in sorted(files):
            tar.add(file)


def overlays_work(folder: Path) -> bool:
    for name in ("lower", "upper", "work", "root"):
        (folder / name).mkdir()
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "overlay", "overlay", "-o", options]
    return subprocess.run([*words, folder / "root"], capture_output=True, check=False).returncode == 0


def test_a_stage_begins_with_what_others_hand_over_and_leaves_them_as_they_are(tmp_path: Path) -> None:
    """As the packages of Julia are compiled by the Julia that another stage delivers."""
    (tmp_path / "try").mkdir()
    if os.geteuid() != 0 or not overlays_work(tmp_path / "try"):
        pytest.skip("stages run in overlays: needs root, and a folder that overlayfs takes")
    place = tmp_path / "dsvm"
    layer_of(place / "base" / "000", "bash", "mkdir", "cat")
    (place / "bin").mkdir()
    (place / "store").mkdir()
    steps = {
        "make-old": "mkdir -p /out/opt; echo old > /out/opt/word; echo kept > /out/opt/other",
        "make-tool": "mkdir -p /out/opt; echo first > /out/opt/word",
        "use-tool": "mkdir -p /out/opt/b; read -r word < /opt/word; read -r other < /opt/other; "
        "echo $word $other $$ $(cat /proc/1/comm) > /out/opt/b/made; echo second > /opt/word",
    }
    for name, text in steps.items():
        (place / "bin" / name).write_text(f"#!{shutil.which('bash')}\nset -e\n{text}\n")
        (place / "bin" / name).chmod(0o755)
    library = patched(place, {"/etc/dsvm/manifest.json": str(tmp_path / "no")})
    program = f"""source {library}; begin
        in_stage a base; step make-old
        in_stage b base; step make-tool
        in_stage c base a b; step use-tool"""
    subprocess.run(["bash", "-c", program], check=True)
    out = place / "work/c/upper/out"
    word, other, process, init = (out / "opt/b/made").read_text().split()
    assert (word, other) == ("first", "kept"), "of two that deliver the same file, the later one counts"
    assert (process, init) == ("1", "use-tool"), "no init system is in sight, as in a container build"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == ["opt", "opt/b", "opt/b/made"]
    assert (place / "work/b/upper/out/opt/word").read_text() == "first\n", "what it changes stays its own"


@pytest.mark.parametrize("installed", [True, False])
def test_a_boot_loader_that_is_there_stays_as_it_is(tmp_path: Path, installed: bool) -> None:
    store, programs = tmp_path / "store" / "system", tmp_path / "bin"
    for folder in (store, programs):
        folder.mkdir(parents=True)
    loader = ("grub-efi-amd64_2.12_amd64.deb", "grub2-common_2.12_amd64.deb", "shim-signed_1.58_amd64.deb")
    others = ("libjs-es5-shim_4.6_all.deb", "linux-image-virtual_6.8_amd64.deb")
    for name in (*loader, *others):
        (store / name).touch()
    (programs / "dpkg-query").write_text(f'#!/bin/sh\n[ "$*" = "--show grub-common" ] && {str(installed).lower()}\n')
    (programs / "dpkg-query").chmod(0o755)
    library = patched(tmp_path, {})
    program = f"PATH={programs}:$PATH; source {library}; keep_boot_loader"
    subprocess.run(["bash", "-c", program], check=True)
    assert {path.name for path in store.iterdir()} == {*others, *(() if installed else loader)}


@pytest.mark.parametrize(
    ("locked", "there", "starts"),
    [
        ("6.8.0-151-generic", ["6.8.0-151-generic", "6.14.0-1010-azure"], "6.8.0-151-generic"),
        ("6.8.0-99-generic", ["6.8.0-99-generic", "6.8.0-151-generic", "6.17.0-1001-gcp"], "6.8.0-151-generic"),
        ("6.1.0-56-cloud-amd64", ["6.1.0-56-cloud-amd64", "6.1.0-60-amd64"], "6.1.0-56-cloud-amd64"),
        ("6.12.57+deb13-amd64", ["6.12.57+deb13-amd64", "6.12.60+deb13-cloud-amd64"], "6.12.57+deb13-amd64"),
    ],
)
def test_of_all_kernels_the_newest_of_the_locked_flavour_starts(
    tmp_path: Path, locked: str, there: list[str], starts: str
) -> None:
    """A vendor's image often has a newer kernel of another flavour, for which no driver was built."""
    boot, grub, programs = tmp_path / "boot", tmp_path / "grub.d", tmp_path / "bin"
    for folder in (boot, programs):
        folder.mkdir()
    for name in there:
        (boot / f"vmlinuz-{name}").touch()
    said = tmp_path / "said"
    stubs = {
        "dkms": f'echo "dkms $*" >> {said}',
        "grub-probe": "echo 1234-abcd",
        "update-grub": f'for file in {grub}/*.cfg; do . "$file"; done; echo "$GRUB_DEFAULT" >> {said}',
    }
    for name, text in stubs.items():
        (programs / name).write_text(f"#!/bin/sh\nset -e\n{text}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "dsvm").mkdir()
    patched(tmp_path / "dsvm", {"/etc/default/grub.d": str(grub), "ls /boot": f"ls {boot}"})
    argv: list[str | Path] = [tmp_path / "dsvm/lib/choose-kernel", locked]
    subprocess.run(argv, env={"PATH": f"{programs}:{os.environ['PATH']}"}, check=True)
    menu = f"gnulinux-advanced-1234-abcd>gnulinux-{starts}-advanced-1234-abcd"
    assert said.read_text().splitlines() == [f"dkms autoinstall -k {locked}", menu]


# --- Windows -----------------------------------------------------------------------------------------------


def test_what_provisions_windows_is_one_file_that_is_the_same_each_time(tmp_path: Path, store: Store) -> None:
    plan = make_plan(tiny.windows_catalog(), tiny.windows_lock(), "azure")
    plan = with_artefacts(plan, store)
    plan = plan.model_copy(update={"base": project().bases["windows-2022"]})
    render.write(plan, tmp_path / "build")
    made = archive.write_windows(plan, store, tmp_path / "build")
    with zipfile.ZipFile(made.path) as zipped:
        assert zipped.testzip() is None
        names = set(zipped.namelist())
        assert zipped.read("provision.ps1") == (tmp_path / "build/provision.ps1").read_bytes()
    for stage in plan.stages:
        for step in stage.steps:
            assert {f"scripts/{name}" for name in (step.script, *step.helpers)} <= names
            assert {f"store/{section}/section.json" for section in step.sections} <= names
    assert "files/ProgramData/dsvm/manifest.json" in names
    assert archive.write_windows(plan, store, tmp_path / "build").sha256 == made.sha256
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.sha256


@pytest.mark.parametrize("path", sorted((archive.LIBRARY.parent / "packer").iterdir()), ids=lambda path: path.name)
def test_what_packer_runs_in_windows_parses(path: Path) -> None:
    text = path.read_text()
    assert text.isascii()
    if path.suffix == ".txt":  # user data of AWS
        text = text.removeprefix("<powershell>\n").removesuffix("</powershell>\n")
    assert faults(text) == []
    assert "$ErrorActionPreference = 'Stop'" in text
    assert faults(text.replace("'Stop'", "'Stop", 1)) != [], "and the parser sees what is broken"
