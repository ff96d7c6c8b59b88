"""Keys, signatures and attestations, compared with what cosign and its relatives have published."""

from __future__ import annotations

import base64
import datetime
import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tiny
from cosign_vectors import (
    CONFIGS,
    D34D,
    ECDSA_ENCRYPTED,
    ECDSA_PLAIN,
    ED25519_PLAIN,
    ENCRYPTED,
    KEY_OF_COSIGN,
    PAYLOADS,
    SIGNED,
)
from hypothesis import given
from hypothesis import strategies as st
from slsa_schema import SLSA
from warm import invoke

from dsvm.model import FileError, InputError
from dsvm.release import (
    Provenance,
    PublicKey,
    SigningKey,
    Statement,
    Surroundings,
    attestation_tag,
    cosign,
    keys,
    make_pair,
    provenance_of,
    read_password,
    read_public_key,
    read_signing_key,
    revisions,
    signature_tag,
    statement_about,
    surroundings,
)
from dsvm.release.cosign import Collection, Layer, attestation, attested, payload, signature, signed_digest
from dsvm.release.surroundings import Revision

PLACE = "registry.example/team/images"


@pytest.fixture(scope="module", params=["ecdsa", "ed25519"])
def key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return made(tmp_path_factory.mktemp("key") / "one", request.param)


def made(prefix: Path, kind: keys.Kind = "ecdsa") -> SigningKey:
    private, _ = make_pair(prefix, kind, b"secret")
    return read_signing_key(private, b"secret")


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", ENCRYPTED)
def test_what_the_cipher_s_makers_have_encrypted_is_read(strength: int) -> None:
    inside = keys._opened(Path("key"), ENCRYPTED[strength], b"supersecret")
    assert base64.b64decode(json.loads(inside)) == b"reallyimportant"


@pytest.mark.parametrize(
    ("text", "password"),
    [(KEY_OF_COSIGN, b""), (ECDSA_ENCRYPTED, b"123"), (ECDSA_PLAIN, None),
     (ED25519_PLAIN, None)],
)  # fmt: skip
def test_keys_of_others_sign(text: str, password: bytes | None, tmp_path: Path) -> None:
    found = read_signing_key(written(tmp_path / "cosign.key", text), password)
    public = read_public_key(written(tmp_path / "cosign.pub", found.public.pem))
    assert public.verifies(found.sign(b"text"), b"text") and not public.verifies(found.sign(b"text"), b"texu")


def test_a_pair_is_made_for_its_owner_and_never_over_another(tmp_path: Path) -> None:
    private, public = make_pair(tmp_path / "deep/er/cosign", "ecdsa", b"secret")
    assert [path.name for path in (private, public)] == ["cosign.key", "cosign.pub"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (private, public)] == [0o600, 0o644]
    assert private.read_text().startswith("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJrZGYiOnsibmFtZSI6InNjcnl")
    assert read_public_key(public).fingerprint == read_signing_key(private, b"secret").public.fingerprint
    before = private.read_bytes()
    with pytest.raises(InputError, match=r"cosign\.key: is there already"):
        make_pair(tmp_path / "deep/er/cosign", "ecdsa", b"secret")
    private.unlink()
    with pytest.raises(InputError, match=r"cosign\.pub: is there already"):
        make_pair(tmp_path / "deep/er/cosign", "ecdsa", b"secret")
    assert not private.exists() and before


def test_half_a_pair_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/pub").mkdir()
    with pytest.raises(FileError):
        make_pair(written(tmp_path / "file", "") / "cosign", "ecdsa", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_the_password_is_the_environment_s_or_a_file_s(tmp_path: Path) -> None:
    file = written(tmp_path / "password", "secret\r\nof mine\n")
    assert read_password({"COSIGN_PASSWORD": "other"}, file) == b"secret"
    assert read_password({"COSIGN_PASSWORD": ""}) == b"" and read_password({}) is None
    with pytest.raises(InputError, match="cannot read the password"):
        read_password({}, tmp_path / "nothing")


RSA = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvM/dHoi6nSy7hbKHLYUr
Xy6Bv35JbdoIzny5vSFiRXApr0KS56U8PugdGmh+vd7H8YNlx2YOJxzv02Blsrcm
WDZcXjE3Xpsi/IHFfRZLOdwwR+u8MNFxwRUVzxyIzKGtbREVVfXPfb2Xc6FL5/tE
vQtUKuR6XdzSaav2RnV5IybCB09s0Np0AUbdi5EfSe4INuqgY+VFYLjvM5onbAQL
N3bFLS4Quk66Dhv93Zi6NwopwL1F07UPC5uadkyePStP3PA0OAOemj9vZADOWx5a
dsGCKISs8iphNC5mDVoLy8Ry49Ms3eQXRjVQOMco3YNf8AhsIdxDNBVN8VTDKVkE
DwIDAQAB
-----END PUBLIC KEY-----
"""
P384 = """-----BEGIN EC PRIVATE KEY-----
MIGkAgEBBDDWIebxSdyJVber6J/l5MKnD0+VU0b7fcjY/RbIxuIsHLVIvwJrSohY
r3gJ/iJmIKGgBwYFK4EEACKhZANiAAQeoKZkkc1GafmIgp1tbNbMBjr2EdvX2dtT
lGhzHJgE0YB6TavazcYH1iOBNmX7/pInCopiyWbjF/5olrRKJMG6DQz80td++fYf
O4tr+Z3nyUgRGmf/fqYA4PSN30CuOMU=
-----END EC PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    ("text", "password", "why"),
    [
        (ECDSA_ENCRYPTED, b"124", "the password is not that of this key"),
        (ECDSA_ENCRYPTED, None, "nobody says the password"),
        (ECDSA_ENCRYPTED.replace("eyJr", "eyJs"), b"123", "no encrypted key of cosign's"),
        (ECDSA_ENCRYPTED.replace("eyJr", "eyJ"), b"123", "its lines are damaged"),
        (SIGNED[0][0], b"", "a public key, which signs nothing"),
        (P384, b"", "no private key that can be read: EC PRIVATE KEY"),
        (P384.replace("EC PRIVATE", "PRIVATE"), b"", "neither an ECDSA P-256 nor an Ed25519|no private key"),
        (ECDSA_PLAIN + ED25519_PLAIN, b"", "more than one key"),
        ("", b"", "no key in PEM form"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"", "what stands in it is none"),
        ("x" * (keys.MOST + 1), b"", "larger than"),
    ],
)
def test_what_signs_nothing_is_said(text: str, password: bytes | None, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why) as caught:
        read_signing_key(written(tmp_path / "cosign.key", text), password)
    assert text == "" or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"), [(ECDSA_PLAIN, "no public key: PRIVATE KEY"), (RSA, "neither an ECDSA P-256 nor an Ed25519 key")]
)
def test_what_verifies_nothing_is_said(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why):
        read_public_key(written(tmp_path / "cosign.pub", text))


@pytest.mark.parametrize("strength", [99, 1 << 14, 1 << 30])
def test_nobody_makes_us_derive_a_key_for_hours(strength: int, tmp_path: Path) -> None:
    inside = ENCRYPTED[1 << 16].replace(b"65536", str(strength).encode())
    with pytest.raises(InputError, match="in a way that cosign does not know"):
        keys._opened(tmp_path, inside, b"supersecret")


@given(st.binary(max_size=400))
def test_any_bytes_are_a_key_or_a_fault(data: bytes) -> None:
    with pytest.raises(InputError):
        keys._block(Path("key"), data)
    with pytest.raises(InputError):
        keys._opened(Path("key"), data, b"")
    with pytest.raises(InputError):
        keys._signing(Path("key"), data)


def test_the_command_makes_a_pair(tmp_path: Path) -> None:
    def keygen(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **more}
        return invoke(["keygen", *words], env)

    mine = "--output", str(tmp_path / "mine"), "--kind", "ed25519"
    refused = keygen(*mine)
    assert refused.returncode == 2 and "COSIGN_PASSWORD" in refused.stderr
    done = keygen(*mine, COSIGN_PASSWORD="pa55")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "mine.key"), str(tmp_path / "mine.pub")]
    assert read_signing_key(tmp_path / "mine.key", b"pa55").sign(b"x")
    assert keygen(*mine, COSIGN_PASSWORD="pa55").returncode == 2
    assert "no kind of key" in keygen("--kind", "rsa").stderr


# --- signatures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "claims", "text"), PAYLOADS)
def test_a_payload_is_cosign_s(place: str, claims: dict[str, object] | None, text: str) -> None:
    assert payload(place, D34D, claims) == text.encode()


@pytest.mark.parametrize(("pem", "whose", "digest", "made"), SIGNED)
def test_signatures_that_cosign_has_made_are_good(
    pem: str, whose: tuple[str, None], digest: str, made: str, tmp_path: Path
) -> None:
    public = read_public_key(written(tmp_path / "cosign.pub", pem))
    layer = Layer(cosign.SIMPLE_SIGNING, payload(whose[0], digest, whose[1]), {cosign.SIGNATURE: made})
    assert signed_digest(layer, [public]) == digest


@pytest.mark.parametrize(("layer", "config", "size"), CONFIGS)
def test_a_config_is_cosign_s(layer: str, config: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layer, "digest", property(lambda self: layer))  # of the blob there are no bytes
    found = Collection((Layer(cosign.SIMPLE_SIGNING, b"", {}),))
    assert (found.manifest.config.digest, found.manifest.config.size) == (config, size)


def test_a_manifest_has_the_keys_in_cosign_s_order() -> None:
    """As `crane manifest` prints one in cosign's README, with the media type that it has had since v2."""
    layer = Layer(cosign.SIMPLE_SIGNING, b"{}", {cosign.SIGNATURE: "5uNZ", "a": "b"})
    found = Collection((layer,))
    assert found.data.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        '"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":233,'
        f'"digest":"{found.manifest.config.digest}"}},'
        '"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":2,'
        f'"digest":"{layer.digest}","annotations":{{"a":"b","dev.cosignproject.cosign/signature":"5uNZ"}}}}]}}'
    )
    assert found.manifest.layers == (layer.descriptor,)


def test_what_go_escapes_is_escaped() -> None:
    assert payload("a.b/c", "x", {"<&>": "é\u2028"}).endswith(
        b'"optional":{"\\u003c\\u0026\\u003e":"\xc3\xa9\\u2028"}}'
    )


def test_tags_are_cosign_s() -> None:
    digest = "sha256:97fc222cee7991b5b061d4d4afdb5f3428fcb0c9054e1690313786befa1e4e36"
    assert signature_tag(digest) == "sha256-97fc222cee7991b5b061d4d4afdb5f3428fcb0c9054e1690313786befa1e4e36.sig"
    assert attestation_tag(digest) == "sha256-97fc222cee7991b5b061d4d4afdb5f3428fcb0c9054e1690313786befa1e4e36.att"


def test_a_signature_is_good_for_its_key_alone(key: SigningKey, tmp_path: Path) -> None:
    other = made(tmp_path / "other").public
    layer = signature(payload(PLACE, D34D), key)
    assert signed_digest(layer, [key.public]) == signed_digest(layer, [other, key.public]) == D34D
    assert signed_digest(layer, [other]) is None and signed_digest(layer, []) is None


@given(data=st.data())
def test_every_altered_byte_of_a_payload_is_noticed(data: st.DataObject, key: SigningKey) -> None:
    layer = signature(payload(PLACE, D34D), key)
    assert signed_digest(_altered(data, layer), [key.public]) is None


@pytest.mark.parametrize("text", ["", "!", "AAAA", "QQ==="])
def test_what_is_no_signature_is_none(text: str, key: SigningKey) -> None:
    assert (
        signed_digest(Layer(cosign.SIMPLE_SIGNING, payload(PLACE, D34D), {cosign.SIGNATURE: text}), [key.public])
        is None
    )


@pytest.mark.parametrize(
    "text", [b"[]", b"{", b"[" * 100_000, payload(PLACE, D34D).replace(b"cosign container", b"atomic container"),
             payload(PLACE, D34D).replace(f'"{D34D}"'.encode(), b"7")]
)  # fmt: skip
def test_a_signed_text_that_is_no_payload_says_nothing(text: bytes, key: SigningKey) -> None:
    assert signed_digest(signature(text, key), [key.public]) is None


# --- attestations ------------------------------------------------------------------------------------------


def test_an_envelope_holds_the_statement(key: SigningKey, tmp_path: Path) -> None:
    layer = attestation(b'{"_type":"x"}', "https://slsa.dev/provenance/v1", key)
    assert layer.data.startswith(b'{"payloadType":"application/vnd.in-toto+json","payload":"eyJfdHlwZSI6IngifQ==",')
    assert layer.annotations == {
        "dev.cosignproject.cosign/signature": "",
        "predicateType": "https://slsa.dev/provenance/v1",
    }
    assert attested(layer.data, [key.public]) == b'{"_type":"x"}'
    assert attested(layer.data, [made(tmp_path / "other").public]) is None


def test_what_is_signed_of_an_envelope_is_as_dsse_says() -> None:
    """https://github.com/secure-systems-lab/dsse/blob/v1.0.2/implementation/signing_spec.py"""
    found = cosign._authentic("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(data=st.data())
def test_every_altered_byte_of_an_envelope_is_noticed(data: st.DataObject, key: SigningKey) -> None:
    layer = attestation(b'{"_type":"https://in-toto.io/Statement/v1"}', "x", key)
    found = attested(_altered(data, layer).data, [key.public])
    assert found in (None, b'{"_type":"https://in-toto.io/Statement/v1"}')  # "keyid" is nobody's business


WORDS = st.sampled_from(["payload", "payloadType", "signatures", "sig"])
ANY = st.recursive(st.none() | st.text() | st.integers(), lambda one: st.lists(one) | st.dictionaries(WORDS, one))


@given(st.binary(max_size=200) | ANY.map(lambda one: json.dumps(one).encode()))
def test_any_bytes_are_an_envelope_or_nothing(data: bytes) -> None:
    assert attested(data, []) is None


def _altered(data: st.DataObject, layer: Layer) -> Layer:
    text = bytearray(layer.data)
    # signatures of ECDSA differ in length
    text[data.draw(st.integers(0, 5000)) % len(text)] ^= data.draw(st.integers(1, 255))
    return Layer(layer.media_type, bytes(text), layer.annotations)


def test_keys_show_nothing_of_themselves(key: SigningKey) -> None:
    assert "signer" not in repr(key) and isinstance(key.public, PublicKey) and "key=" not in repr(key.public)


# --- where an image comes from -----------------------------------------------------------------------------

BEGAN = datetime.datetime(2026, 11, 26, 2, 0, 0, 500, datetime.UTC)
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_REPOSITORY": "team/images",
    "GITHUB_WORKFLOW_REF": "team/images/.github/workflows/nightly.yml@refs/heads/main",
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_ACTOR": "somebody",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://gitlab.example/team/images",
    "CI_JOB_URL": "https://gitlab.example/team/images/-/jobs/5",
    "GITLAB_USER_LOGIN": "somebody",
}
AZURE = {
    "TF_BUILD": "True",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.example/team/",
    "SYSTEM_TEAMPROJECTID": "11-22",
    "SYSTEM_DEFINITIONID": "3",
    "BUILD_BUILDID": "44",
    "BUILD_REQUESTEDFOR": "somebody",
}


@pytest.mark.parametrize(
    ("environ", "builder", "invocation"),
    [
        (
            GITHUB,
            "https://github.example/team/images/.github/workflows/nightly.yml@refs/heads/main",
            "https://github.example/team/images/actions/runs/77/attempts/2",
        ),
        (GITLAB, "https://gitlab.example/team/images/-/pipelines", "https://gitlab.example/team/images/-/jobs/5"),
        (
            AZURE,
            "https://dev.azure.example/team/11-22/_build?definitionId=3",
            "https://dev.azure.example/team/11-22/_build/results?buildId=44",
        ),
    ],
)
def test_continuous_integration_says_who_builds(environ: dict[str, str], builder: str, invocation: str) -> None:
    assert Surroundings.of(environ) == Surroundings(builder, invocation, "somebody")


@pytest.mark.parametrize("environ", [{}, {**GITHUB, "GITHUB_SERVER_URL": ""}, {**GITLAB, "CI_JOB_URL": "x\ny"}])
def test_elsewhere_it_is_a_machine_of_somebody_s_own(environ: dict[str, str]) -> None:
    found = Surroundings.of(environ)
    assert (found.builder, found.invocation) == ("urn:dsvm:own-machine", "")


def provenance_here(**more: Any) -> Provenance:
    lock = tiny.lock()
    base = tiny.catalog().bases[lock.base]
    said = {"format": "docker", "plan": "f" * 64, "version": "0.1.0", "times": (BEGAN, BEGAN), **more}
    return provenance_of(lock, base, Surroundings.of(GITHUB), [Revision("mine", "a" * 40, True)], **said)


def test_provenance_names_every_artefact() -> None:
    lock, found = tiny.lock().of("docker"), provenance_here()
    assert found.artefacts == {pin.sha256 for section in lock.sections for pin in section.pins}
    said = found.written
    named = {one["name"]: one for one in said["buildDefinition"]["resolvedDependencies"]}
    section, pin = lock.sections[0], lock.sections[0].pins[0]
    assert named[f"{section.id}/{pin.name}"]["uri"].startswith("pkg:")
    assert named["mine"] == {"name": "mine", "digest": {"gitCommit": "a" * 40}, "annotations": {"modified": True}}
    assert said["buildDefinition"]["externalParameters"] == {"variant": lock.variant, "format": "docker"}
    assert said["buildDefinition"]["internalParameters"]["lock"] == lock.digest
    assert "SLSA Build L1" in said["buildDefinition"]["internalParameters"]["claim"]
    assert said["runDetails"]["metadata"]["startedOn"] == "2026-11-26T02:00:00Z"


def test_provenance_is_the_same_bytes_for_the_same_build_and_comes_back() -> None:
    one, other = (provenance_here() for _ in range(2))
    told = statement_about(PLACE, D34D, "https://slsa.dev/provenance/v1", one.written)
    assert told.data == statement_about(PLACE, D34D, "https://slsa.dev/provenance/v1", other.written).data
    back = Statement.of(told.data)
    assert back == told and Provenance.of(back.predicate) == one
    assert back.speaks_of(D34D) and not back.speaks_of(D34D.replace("d34d", "d34e"))


def test_provenance_has_the_form_that_slsa_says() -> None:
    """https://slsa.dev/spec/v1.2/build-provenance: its required fields, and the types of all."""
    said = statement_about(PLACE, D34D, "https://slsa.dev/provenance/v1", provenance_here().written)
    jsonschema.validate(json.loads(said.data), SLSA)
    for missing in ("buildType", "externalParameters"):
        document = json.loads(said.data)
        del document["predicate"]["buildDefinition"][missing]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, SLSA)


def test_without_times_none_are_said() -> None:
    metadata = provenance_here(times=None).written["runDetails"]["metadata"]
    assert [*metadata] == ["invocationId"]


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"_type": "https://in-toto.io/Statement/v0.1"}', b"[" * 100_000])
def test_what_is_no_statement_is_said_in_a_line(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        Statement.of(text)


def test_the_revision_of_manifests_is_git_s(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    assert revisions([folder]) == []

    def git(*words: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.invalid", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    (folder / "file").write_text("one")
    git("add", "file")
    git("commit", "--quiet", "--message", "one")
    commit = git("rev-parse", "HEAD")
    assert revisions([folder / "deep", folder]) == [Revision("deep", commit, False)]
    git("remote", "add", "origin", "https://user:secret@git.example/team/images.git")
    (folder / "file").write_text("two")
    assert revisions([folder]) == [Revision("mine", commit, True, "https://git.example/team/images.git")]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("git@git.example:team/images.git", "ssh://git.example/team/images.git"),
        ("ssh://git@git.example/team/images", "ssh://git.example/team/images"),
        ("/srv/git/images", ""),
        ("file:///srv/git/images", ""),
        ("C:/images", ""),
        ("", ""),
    ],
)
def test_a_remote_shows_neither_secrets_nor_folders(url: str, shown: str) -> None:
    assert surroundings._remote(url) == shown
