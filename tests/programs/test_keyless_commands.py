"""Commands that sign without a key and verify that, as people type them, with Debian's registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker_registry import docker_registry
from release_world import REPOSITORY, World
from sigstore_instance import ISSUER, WORKFLOW, Instance, sigstore_instance
from test_disk_release import released, session
from test_release_commands import invoke
from test_seals import AROUND, CHANNELS, LOCK, image

from dsvm import release as releases
from dsvm.release import IdentitySigner, Sealer, Signing, make_pair
from dsvm.session import Session

__all__ = ["session"]

WHO = ("--identity", WORKFLOW, "--issuer", ISSUER)


@dataclass
class Signed:
    """A release that an identity has signed, in a registry that others have written."""

    instance: Instance
    trust: str
    place: str
    token: str
    index: str

    @property
    def digest(self) -> str:
        return f"{self.place}@{self.index}"


@pytest.fixture
def signed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Signed]:
    with sigstore_instance() as instance, docker_registry(tmp_path / "registry") as registry:
        world.elsewhere = registry.host
        monkeypatch.setenv("SIGSTORE_ID_TOKEN", token := instance.token())
        trust = instance.write(tmp_path / "trust.json")
        made = image(world)
        signer = IdentitySigner(Signing(releases.Instance.of(trust)))
        seal = Sealer(signer, {made.candidate.variant: made.claims}, AROUND, CHANNELS)
        index = world.publish(made.candidate, seal=seal).index.digest
        monkeypatch.delenv("SIGSTORE_ID_TOKEN")
        yield Signed(instance, str(trust), f"{registry.host}/{REPOSITORY}", token, index)


def test_a_release_is_read_back(world: World, signed: Signed) -> None:
    """After that, nobody is asked but the registry."""
    asked = len(signed.instance.asked)
    done = invoke(world, "verify-release", f"{signed.place}:latest", *WHO, "--trust-config", signed.trust)
    assert done.returncode == 0, done.stderr
    assert "signed for nightly, latest by somebody, https://ci.example/7" in done.stdout
    assert LOCK.of("docker").digest[:12] in done.stdout and "urn:dsvm:own-machine" in done.stdout
    assert done.stdout.endswith("all of it is as it was published and signed\n")
    assert len(signed.instance.asked) == asked


def test_who_has_not_signed_it_is_said(world: World, signed: Signed) -> None:
    words = ("--identity", "somebody@ci.example", "--issuer", ISSUER, "--trust-config", signed.trust)
    done = invoke(world, "verify-release", signed.digest, *words)
    assert done.returncode == 9
    assert f"signed by {WORKFLOW}, as {ISSUER} says" in done.stderr and "Nothing of it can be relied on" in done.stderr
    assert "all of it is" not in done.stdout and "Traceback" not in done.stderr


def test_who_promotes_signs_it(world: World, signed: Signed) -> None:
    words = ("promote", "--registry", signed.place, "--to", "nightly", "--keyless", "--trust-config", signed.trust)
    refused = invoke(world, *words, SIGSTORE_ID_TOKEN="none")
    assert refused.returncode == 2 and "nobody says who signs here" in refused.stderr
    signed.instance.statuses = [401]
    refused = invoke(world, *words, SIGSTORE_ID_TOKEN=signed.token)
    assert refused.returncode == 8 and "HTTP 401" in refused.stderr and "Traceback" not in refused.stderr
    done = invoke(world, *words, SIGSTORE_ID_TOKEN=signed.token)
    assert done.returncode == 0, done.stderr
    assert f"signing as {WORKFLOW}, as {ISSUER} says" in done.stderr
    assert signed.token not in done.stdout + done.stderr + refused.stdout + refused.stderr
    found = invoke(world, "verify-release", signed.place, *WHO, "--trust-config", signed.trust)
    assert found.returncode == 0 and "signed for latest by " in found.stdout, found.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote", "--to", "nightly", "--keyless", "--key", "KEY"), "--keyless and --key: one of them signs"),
        (("promote", "--to", "nightly", "--trust-config", "TRUST"), "--trust-config says whom --keyless signs with"),
        (("promote", "--to", "nightly", "--keyless", "--trust-config", "KEY"), "no trust configuration"),
        (("release", "--variant", "x", "--keyless", "--trust-config", "nothing.json"), "cannot read whom to trust"),
        (("nightly", "--variant", "x", "--keyless", "--key", "KEY"), "--keyless and --key: one of them signs"),
        (("verify-release", "PLACE", "--identity", "x"), "--identity and --issuer: both are wanted"),
        (("verify-release", "PLACE", "--issuer", "x"), "--identity and --issuer: both are wanted"),
        (("verify-release", "PLACE", "--trust-config", "TRUST"), "--identity and --issuer: both are wanted"),
        (("verify-release", "PLACE", *WHO, "--key", "PUBLIC"), "--key and --identity: a release is verified by one"),
        (("verify-release", "PLACE", *WHO, "--trust-config", "PUBLIC"), "no trust configuration"),
        (("verify-release", "some.qcow2", *WHO, "--trust-config", "TRUST"), "some.qcow2: no such file"),
    ],
)
def test_what_goes_wrong_is_said(words: tuple[str, ...], said: str, world: World, signed: Signed,
                                 tmp_path: Path) -> None:  # fmt: skip
    private, public = make_pair(tmp_path / "cosign", "ecdsa", b"")
    names = {"KEY": str(private), "PUBLIC": str(public), "TRUST": signed.trust, "PLACE": signed.place}
    place = () if words[0] == "verify-release" else ("--registry", signed.place)
    env = {"SIGSTORE_ID_TOKEN": signed.token, "COSIGN_PASSWORD": ""}
    done = invoke(world, *(names.get(word, word) for word in words), *place, **env)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_disk_that_an_identity_has_signed_is_read_back(
    world: World, session: Session, signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", signed.token)
    disk = released(session, IdentitySigner(Signing(releases.Instance.of(Path(signed.trust)))))
    monkeypatch.delenv("SIGSTORE_ID_TOKEN")
    trust = ("--trust-config", signed.trust)
    done = invoke(world, "verify-release", str(disk), *WHO, *trust)
    assert done.returncode == 0, done.stderr
    assert "urn:dsvm:own-machine" in done.stdout
    other = invoke(world, "verify-release", str(disk), "--identity", "me@example.org", "--issuer", ISSUER, *trust)
    assert other.returncode == 9 and f"signed by {WORKFLOW}, as {ISSUER} says" in other.stderr
    sums = disk.with_name(f"{disk.name}.sha256")
    sums.write_text(sums.read_text().replace("0", "1", 1))
    assert "nobody of that identity has signed it" in invoke(world, "verify-release", str(disk), *WHO, *trust).stderr
