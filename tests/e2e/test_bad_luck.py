"""Whatever goes wrong ends with a message that says what to do, its exit code, and nothing half-written."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from workbench import (
    BIG,
    CUT_OFF,
    INVOKE,
    ROOT,
    ROOT_ONLY,
    SMALL,
    Catalog,
    Invoke,
    Running,
    broken_image,
    docker,
    image,
    private_engine,
    short_folder,
    small_disk,
)

from dsvm.container import images
from dsvm.host import find_engine
from dsvm.model import Report
from dsvm.plan import LABELS
from dsvm.store import Store

# A build of the small variant that runs every stage again and, if it ended well, would leave its name alone.
BUILD = ("build", "--no-cache", "--no-verify", "--locked", "--offline")


def linked_store(folder: Path, catalog: Catalog) -> Store:
    """A store in `folder` with what the lock of `catalog` names, as links to the real one's files."""
    store, real = Store(folder / "store"), Store()
    for section in catalog.read()["sections"]:
        for pin in section["pins"]:
            target = store.path(pin["sha256"])
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.hardlink_to(real.path(pin["sha256"]))
    return store


def damaged(catalog: Catalog) -> list[str]:
    """The artefacts of a lock whose files in the store are not what their names say."""
    found = []
    for section in catalog.read()["sections"]:
        for pin in section["pins"]:
            with Store().path(pin["sha256"]).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != pin["sha256"]:
                    found.append(pin["file"])
    return found


# --- what people write ---------------------------------------------------------------------------------------


def test_every_fault_of_all_manifests_at_once(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "variants").mkdir()
    (tmp_path / "tools" / "torn.yaml").write_text("tool: torn\nsources: [apt: {\n")
    (tmp_path / "variants" / "mine.yaml").write_text(
        "variant: mine\nbase: debian-12\naccelerator: cpu\ntoolz: [git]\ntools: [git]\n"
    )
    done = invoke("list", "--catalog", str(tmp_path))
    done.refused(2, "torn.yaml:3: not valid YAML", "mine.yaml:4: unknown key 'toolz' (did you mean 'tools'?)")


@pytest.mark.parametrize("command", ["lock", "fetch", "render", "build", "verify", "start", "stop", "show"])
def test_an_unknown_variant(invoke: Invoke, command: str) -> None:
    invoke(command, "--variant", "cpu-debain").refused(2, "cpu-debain", f"did you mean '{BIG}'?")


def test_no_variant(invoke: Invoke) -> None:
    invoke("build").refused(2, "no variant is named", "--variant NAME", BIG)


# --- lock and store ------------------------------------------------------------------------------------------


def test_locked_and_a_stale_lock(invoke: Invoke, own: Catalog) -> None:
    variant = own.folder / "variants" / f"{SMALL}.yaml"
    variant.write_text(variant.read_text().replace("tini,", "tini, sudo,"))
    before = own.lock.read_bytes()
    invoke("build", "--locked", *own.words).refused(3, "does not fit the manifests", "system", "invoke lock")
    assert own.lock.read_bytes() == before


def test_a_torn_lock(invoke: Invoke, own: Catalog) -> None:
    own.lock.write_text(own.lock.read_text()[:-100])
    invoke("build", *own.words).refused(3, str(own.lock), "not a lock", "invoke lock")


def test_offline_and_an_empty_store(invoke: Invoke, small: Catalog, tmp_path: Path) -> None:
    done = invoke(*BUILD, *small.words, env={"DSVM_STORE": str(tmp_path / "store")})
    done.refused(3, "the store lacks", f"invoke fetch --variant {SMALL}")


@pytest.mark.parametrize(("section", "package"), [("system", "dc"), ("env-base", "tqdm")])
def test_a_wrong_hash(invoke: Invoke, own: Catalog, tmp_path: Path, section: str, package: str) -> None:
    store = linked_store(tmp_path, own)
    pin = own.change_pin(section, package, sha256="0" * 64)
    done = invoke("fetch", *own.words, env={"DSVM_STORE": str(store.root)})
    name = pin["file"].rsplit("/", 1)[-1]
    done.refused(3, name, f"expected  {'0' * 64}", f"received  {pin['sha256']}", "from      ", "kept as   ")
    (kept,) = (store.root / "quarantine").iterdir()
    assert str(kept) in done.err
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == pin["sha256"]
    assert not store.has("0" * 64)


def test_what_mirrors_have_dropped(invoke: Invoke, own: Catalog) -> None:
    pin = own.change_pin("system", "dc")
    gone = {"version": "1.06-1", "file": "pool/main/b/bc/dc_1.06-1_amd64.deb", "sha256": "1" * 64}
    own.change_pin("system", "dc", **gone)
    before = own.read()
    done = invoke("build", *own.words)
    done.refused(3, "no longer served", "dc_1.06-1_amd64.deb", f"invoke lock --variant {SMALL} --only apt")
    assert own.read() == before

    mended = invoke("fetch", "--update-stale", *own.words).passed()
    assert f"system: dc 1.06-1 -> {pin['version']}" in mended.out
    after = own.read()
    moved = [
        new["id"]
        for old, new in zip(before["sections"], after["sections"], strict=True)
        if (old["pins"], old["epoch"]) != (new["pins"], new["epoch"])
    ]
    assert moved == ["system"]
    (system,) = (section for section in after["sections"] if section["id"] == "system")
    assert pin in system["pins"]
    (base,) = (section for section in after["sections"] if section["id"] == "base")
    assert set(base["request"]) <= {"bootstrap", "image"}, "what another machine would say otherwise"


@ROOT_ONLY
def test_a_full_disk_under_the_store(invoke: Invoke, small: Catalog) -> None:
    with small_disk(8) as disk:
        done = invoke("fetch", *small.words, env={"DSVM_STORE": str(disk / "store")})
        done.refused(3, "disk full", "DSVM_STORE")
        assert not list((disk / "store").glob("blobs/*/*"))


def test_no_network(invoke: Invoke, own: Catalog, tmp_path: Path) -> None:
    before = own.lock.read_bytes()
    invoke("lock", "--upgrade", *own.words, under=tuple(CUT_OFF)).refused(3, "network")
    assert own.lock.read_bytes() == before
    env = {"DSVM_STORE": str(tmp_path / "store")}
    invoke("fetch", *own.words, env=env, under=tuple(CUT_OFF)).refused(3, "network")
    assert not list((tmp_path / "store").glob("blobs/*/*"))


# --- engine --------------------------------------------------------------------------------------------------


def test_no_engine(invoke: Invoke, small: Catalog, tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/no.sock"
    env = {"DOCKER_HOST": nowhere, "DSVM_ENGINE_DIR": str(tmp_path)}
    done = invoke("build", "--offline", *small.words, env=env)
    done.refused(4, "no container engine answers", nowhere, "scripts/engine")


def test_no_such_builder(invoke: Invoke, small: Catalog) -> None:
    invoke(*BUILD, "--builder", "nonsense", *small.words).refused(4, "no builder 'nonsense'", "docker buildx ls")


def test_ctrl_c(small: Catalog, tmp_path: Path) -> None:
    lock, before = small.lock.read_bytes(), image(f"dsvm/{SMALL}")
    build = Running([INVOKE, *BUILD, *small.words], tmp_path / "build.log")
    build.wait_for("build: system: running")
    build.interrupt()
    done = build.end()
    assert done.code == 130, done.text
    assert "interrupted" in done.text
    assert "Traceback" not in done.text
    assert "built" not in done.text.replace("built so far", "")
    assert small.lock.read_bytes() == lock
    assert damaged(small) == []
    assert image(f"dsvm/{SMALL}") == before
    assert image(f"dsvm/{SMALL}:unverified") is None


@ROOT_ONLY
def test_an_engine_that_dies_in_mid_build(small: Catalog, tmp_path: Path) -> None:
    with short_folder() as folder, private_engine(folder) as engine:
        build = Running([INVOKE, *BUILD, *small.words], tmp_path / "build.log", env=engine.env)
        build.wait_for("build: system: running")
        engine.kill()
        done = build.end()
    done.refused(4, "the container engine went away", "scripts/engine start", "Full output: ")
    assert damaged(small) == []


@ROOT_ONLY
def test_a_full_disk_under_the_engine(invoke: Invoke, small: Catalog) -> None:
    with small_disk(420) as disk, private_engine(disk) as engine:
        done = invoke(*BUILD, *small.words, env=engine.env)
        done.refused(5, "disk is full", "Full output: ")
        assert image(f"dsvm/{SMALL}:unverified", engine.env) is None


# --- two at once, and disks that lie --------------------------------------------------------------------------


def names(variant: str) -> dict[str, str]:
    """Tag -> id of each image of a variant."""
    lines = docker("image", "ls", "--no-trunc", "--format", "{{.Tag}} {{.ID}}", f"dsvm/{variant}").splitlines()
    return dict(line.split() for line in lines)


def test_two_builds_at_once_give_one_verified_image(small: Catalog, tmp_path: Path) -> None:
    for tag in names(SMALL):
        docker("image", "rm", "--force", f"dsvm/{SMALL}:{tag}")
    argv: list[str | Path] = [INVOKE, "build", "--locked", "--offline", *small.words]
    runs = [Running(argv, tmp_path / f"{number}.log") for number in range(2)]
    texts = sorted((run.end().passed().text for run in runs), key=lambda text: "waiting for process" in text)
    assert re.search(r"\d+ passed, 0 failed", texts[0]) and "waiting for" not in texts[0], texts
    assert f"{SMALL}: waiting for process" in texts[1] and f"dsvm/{SMALL}:latest is up to date" in texts[1]
    found = names(SMALL)
    assert "latest" in found and len(found) == 2 and len({*found.values()}) == 1, found


def test_what_is_verified_is_what_gets_the_name(small: Catalog, invoke: Invoke, tmp_path: Path) -> None:
    before = names(SMALL)["latest"]
    verify = Running([INVOKE, "verify", *small.words], tmp_path / "verify.log")
    verify.wait_for("passed")
    broken_image(f"dsvm/{SMALL}:unverified", f"dsvm/{SMALL}:latest", tmp_path, "command dc 'dc 1.07.1'\n")
    try:
        verify.end().passed()
        assert names(SMALL)["latest"] == before
    finally:
        docker("image", "rm", "--force", f"dsvm/{SMALL}:unverified")


def test_an_artefact_that_was_changed_reaches_no_image(small: Catalog, invoke: Invoke, tmp_path: Path) -> None:
    store = linked_store(tmp_path, small)
    pin = next(pin for one in small.read()["sections"] if one["id"] == "env-base" for pin in one["pins"])
    path = store.path(pin["sha256"])
    data, stat = path.read_bytes(), path.stat()
    path.unlink()  # a link to the real one
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    done = invoke(*BUILD, *small.words, env={"DSVM_STORE": str(store.root)})
    done.refused(3, "damaged, its SHA-256 is", pin["file"].rpartition("/")[2], "invoke fetch")


def verifying() -> list[str]:
    return docker("ps", "--filter", "label=dsvm.verify", "--format", "{{.Names}}").split()


def test_a_run_that_is_killed_leaves_no_container_for_the_next(small: Catalog, invoke: Invoke, tmp_path: Path) -> None:
    before = {*verifying()}
    verify = Running([INVOKE, "verify", *small.words], tmp_path / "verify.log")
    verify.wait_for("passed")
    (left,) = {*verifying()} - before
    verify.process.kill()
    verify.end()
    assert left in verifying()
    done = invoke("verify", *small.words).passed()
    assert f"{left} of a run that was killed is removed" in done.out
    assert left not in verifying()


# --- a broken image ------------------------------------------------------------------------------------------


def test_verify_gives_a_broken_image_no_name(small: Catalog, invoke: Invoke, tmp_path: Path) -> None:
    before, unverified = image(f"dsvm/{SMALL}"), f"dsvm/{SMALL}:unverified"
    broken_image(unverified, f"dsvm/{SMALL}:latest", tmp_path, "command dc 'dc 1.07.1'\n")
    try:
        done = invoke("verify", *small.words)
        done.refused(6, "4 checks of", unverified, "it gets no name", f"build/{SMALL}/report.json", "verify.log")
    finally:
        docker("image", "rm", "--force", unverified)
    assert "FAILED dc: run: dc -e '2 3 + p'" in done.out
    assert "/usr/local/bin/dc: nothing explains this file" in done.out
    assert image(f"dsvm/{SMALL}") == before
    report = Report.model_validate_json((ROOT / "build" / SMALL / "report.json").read_bytes())
    failed = [(result.tool, result.check) for result in report.results if result.outcome == "failed"]
    assert failed == [
        ("dc", "run: dc -e '2 3 + p'"),
        ("image", "every file is explained"),
        ("image", "layers are those of its build"),
        ("image", "programs and libraries are found"),
    ]


# --- others on the same engine -----------------------------------------------------------------------------------


def test_images_are_listed_while_others_come_and_go() -> None:
    """The engine's own list stumbles over an image that is removed while it reads it: about one time in twenty here."""
    engine, over = find_engine(), Event()

    def come_and_go(number: int) -> None:
        turn, packed = 0, io.BytesIO()
        while not over.is_set():
            packed.seek(0)
            with tarfile.open(fileobj=packed, mode="w") as archive:
                archive.addfile(tarfile.TarInfo(f"{number}-{turn}"))
            name = f"dsvm/e2e-coming-{number}:{turn}"
            marked = [f"LABEL {LABELS}.variant=e2e-coming-{number}"]
            engine.client.api.import_image_from_data(
                packed.getvalue(), repository=name.split(":")[0], tag=str(turn), changes=marked
            )
            engine.client.api.remove_image(name)
            turn += 1

    with ThreadPoolExecutor(3) as others:
        coming = [others.submit(come_and_go, number) for number in range(3)]
        try:
            for _ in range(200):
                images.built(engine)
        finally:
            over.set()
        for one in coming:
            one.result()
