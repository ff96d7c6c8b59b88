"""The commands that sign releases and verify them, as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest
from release_world import REPOSITORY, World
from test_cloud import QEMU, session
from test_disk_release import released
from test_release_commands import invoke, place
from test_seals import LOCK, image, of, sealer

from dsvm.release import make_pair, read_signing_key
from dsvm.session import Session

__all__ = ["session"]

PASSWORD = "hunter2-is-no-password"


@pytest.fixture
def keys(world: World, tmp_path: Path) -> tuple[Path, Path]:
    """A signed release, and the two halves of its key."""
    private, public = make_pair(tmp_path / "cosign", "ecdsa", PASSWORD.encode())
    made = image(world)
    world.publish(made.candidate, seal=sealer(read_signing_key(private, PASSWORD.encode()), made))
    return private, public


def test_a_release_is_read_back(world: World, keys: tuple[Path, Path]) -> None:
    done = invoke(world, "verify-release", f"{place(world)}:latest", "--key", str(keys[1]))
    assert done.returncode == 0, done.stderr
    assert f"{place(world)}:latest: release 20261126, sha256:" in done.stdout
    assert "signed for nightly, latest by somebody, https://ci.example/7" in done.stdout
    assert LOCK.of("docker").digest[:12] in done.stdout and "urn:dsvm:own-machine" in done.stdout
    assert done.stdout.endswith("all of it is as it was published and signed\n")
    plain = invoke(world, "verify-release", place(world))
    assert plain.returncode == 0 and "no --key and no --identity: digests were compared" in plain.stderr
    assert plain.stdout.endswith("all of it is as it was published\n")


def test_what_is_altered_is_named(world: World, keys: tuple[Path, Path]) -> None:
    index = world.home.registry.digest_of("latest") or ""
    digest = of(world, index)
    blob = world.home.registry.image(digest)[1].layers[-1].digest
    data = world.server[REPOSITORY].blobs[blob]
    world.server[REPOSITORY].blobs[blob] = data[:-1] + bytes([data[-1] ^ 1])
    done = invoke(world, "verify-release", f"{place(world)}@{index}", "--key", str(keys[1]))
    assert done.returncode == 9
    assert (
        f"reading {blob}: it hands out something else" in done.stderr
        and "Nothing of it can be relied on" in done.stderr
    )
    assert "all of it is" not in done.stdout and "Traceback" not in done.stderr


def test_who_promotes_signs_it(world: World, keys: tuple[Path, Path]) -> None:
    words = ("promote", "--registry", place(world), "--to", "nightly", "--key", str(keys[0]))
    refused = invoke(world, *words)
    assert refused.returncode == 2 and "nobody says the password" in refused.stderr
    done = invoke(world, *words, COSIGN_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    found = invoke(world, "verify-release", place(world), "--key", str(keys[1]))
    assert found.returncode == 0 and "signed for latest by " in found.stdout
    assert PASSWORD not in done.stdout + done.stderr


@QEMU
def test_a_released_disk_is_read_back(world: World, session: Session, tmp_path: Path) -> None:
    private, public = make_pair(tmp_path / "cosign", "ecdsa", PASSWORD.encode())
    disk = released(session, read_signing_key(private, PASSWORD.encode()))
    done = invoke(world, "verify-release", str(disk), "--key", str(public))
    assert done.returncode == 0, done.stderr
    assert f"{disk}: sha256:" in done.stdout and "urn:dsvm:own-machine" in done.stdout
    assert done.stdout.endswith("all of it is as it was published and signed\n")
    disk.write_bytes(disk.read_bytes() + b"x")
    done = invoke(world, "verify-release", str(disk), "--key", str(public))
    assert done.returncode == 9 and f"{disk}: altered: its SHA-256 is " in done.stderr
    assert "Nothing of it can be relied on" in done.stderr and "all of it is" not in done.stdout
    disk.unlink()
    done = invoke(world, "verify-release", str(disk))
    assert done.returncode == 2 and f"{disk}: no such file" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("verify-release", "images"), 2, "names nothing in a registry"),
        (("verify-release", "REGISTRY", "--key", "PRIVATE"), 2, "no public key: ENCRYPTED SIGSTORE PRIVATE KEY"),
        (("verify-release", "REGISTRY:20250101", "--key", "PUBLIC"), 9, "it has no 20250101"),
        (("verify-release", "127.0.0.1:1/team", "--key", "PUBLIC"), 8, "no network connection"),
        (("release", "--variant", "x", "--registry", "REGISTRY", "--key", "PUBLIC"), 2, "which signs nothing"),
        (("release", "--variant", "x", "--registry", "REGISTRY", "--key", "nothing.key"), 2, "cannot read the key"),
        (("release", "--variant", "x", "--registry", "REGISTRY", "--format", "vhd"), 2, "--registry has no place with"),
        (("release", "--variant", "x", "--alone", "--format", "vhd"), 2, "--alone has no place with vhd"),
        (("release", "--variant", "cpu-debian", "--format", "gcp"), 2, "gcp is not made on this host"),
        (("release", "--variant", "cpu-debian", "--format", "qcow2"), 2, "there is no verified machine"),
    ],
)
def test_what_goes_wrong_is_said(
    words: tuple[str, ...], code: int, said: str, world: World, keys: tuple[Path, Path]
) -> None:
    names = {"REGISTRY": place(world), "PRIVATE": str(keys[0]), "PUBLIC": str(keys[1])}
    for name, value in names.items():
        words = tuple(word.replace(name, value) for word in words)
    done = invoke(world, *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


def test_another_key_has_signed_nothing(world: World, keys: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = make_pair(tmp_path / "other", "ed25519", b"")
    done = invoke(world, "verify-release", place(world), "--key", str(other))
    assert done.returncode == 9 and "nobody whose key was given has signed it" in done.stderr
