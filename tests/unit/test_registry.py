"""The client of registries: what it writes comes back, and nothing that a registry says is believed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registries import ALWAYS, Registries, registry_server

from dsvm.host import Host, registry_login
from dsvm.model import (
    IMAGE,
    INDEX,
    Descriptor,
    ImageIndex,
    InputError,
    Manifest,
    RegistryError,
    described,
    digest_of_bytes,
    read_document,
)
from dsvm.release import Reference, Registry, empty_config, fallback_tag, is_loopback

LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
SECRET = "hunter2-is-no-password"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Registries]:
    with registry_server() as one:
        yield one


@pytest.fixture
def registry(server: Registries, host: Host) -> Registry:
    return Registry.of(f"{server.host}/team/images", host)


def blob(registry: Registry, data: bytes, kind: str = LAYER) -> Descriptor:
    digest = digest_of_bytes(data)
    registry.upload(data, digest, len(data))
    return Descriptor(media_type=kind, digest=digest, size=len(data))


def image(registry: Registry, *layers: bytes, **more: Any) -> Descriptor:
    config = blob(registry, b'{"os": "linux"}', "application/vnd.oci.image.config.v1+json")
    return registry.put(Manifest(config=config, layers=[blob(registry, one) for one in layers], **more))


def test_what_is_written_comes_back(registry: Registry) -> None:
    made = image(registry, b"one" * 1000, b"two")
    found, manifest = registry.image(made.digest)
    assert found.descriptor == made and [one.size for one in manifest.layers] == [3000, 3]
    assert registry.blob(manifest.layers[1]) == b"two"
    registry.put(manifest, found.data, tag="20261126")
    assert registry.digest_of("20261126") == made.digest and registry.tags() == ["20261126"]
    index = registry.put(ImageIndex(manifests=[made]), tag="nightly")
    seen = 0

    def count(bytes: int) -> None:
        nonlocal seen
        seen += bytes

    assert registry.compare("nightly", on_bytes=count).digest == index.digest
    assert seen == 3003 + len(b'{"os": "linux"}')


def test_what_is_not_there_is_none(registry: Registry) -> None:
    assert registry.find("nightly") is None and registry.tags() == []
    assert registry.referrers(f"sha256:{'0' * 64}") == []
    with pytest.raises(RegistryError, match="it has no nightly"):
        registry.pull("nightly")


def test_a_blob_that_is_there_is_not_sent_again(server: Registries, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(b"x" * 3_000_000)
    digest = digest_of_bytes(path.read_bytes())
    sent: list[int] = []
    assert registry.upload(path, digest, 3_000_000, sent.append)
    assert sum(sent) == 3_000_000 and server["team/images"].blobs[digest] == path.read_bytes()
    assert not registry.upload(path, digest, 3_000_000, sent.append)
    assert len(server.requests("POST")) == 1


def test_tags_come_in_pages(server: Registries, registry: Registry) -> None:
    made = image(registry, b"one")
    _, manifest = registry.image(made.digest)
    server.page = 3
    for number in range(10):
        registry.put(manifest, tag=f"tag-{number}")
    assert registry.tags() == [f"tag-{number}" for number in range(10)]


@pytest.mark.parametrize("listed", [True, False])
def test_attached_things_are_found(listed: bool, server: Registries, registry: Registry) -> None:
    server.referrers = listed
    made = image(registry, b"one")
    config = empty_config(registry)
    said = []
    for kind in ("application/vnd.cyclonedx+json", "application/spdx+json"):
        layer = blob(registry, kind.encode(), kind)
        artifact = Manifest(config=config, layers=[layer], subject=made, artifact_type=kind, annotations={"a": "b"})
        said.append(registry.attach(artifact).digest)
        registry.attach(artifact)  # as a run does that was killed and begins again
    found = registry.referrers(made.digest)
    assert [one.digest for one in found] == sorted(said)
    assert {one.artifact_type for one in found} == {"application/vnd.cyclonedx+json", "application/spdx+json"}
    assert all(one.annotation("a") == "b" for one in found)
    assert (fallback_tag(made.digest) in registry.tags()) is not listed


def test_a_registry_that_answers_every_question_with_a_page_lists_nothing_by_itself(
    server: Registries, registry: Registry
) -> None:
    server.referrers = False
    made = image(registry, b"one")
    config = empty_config(registry)
    said = registry.attach(Manifest(config=config, layers=[config], subject=made, artifact_type="application/ours"))
    page = {"Content-Type": "text/html"}
    server.trouble("GET", "/referrers/", status=200, headers=page, body=b"<html>", times=ALWAYS)
    assert [one.digest for one in registry.referrers(made.digest)] == [said.digest]


def test_two_that_attach_at_once_lose_nothing(server: Registries, registry: Registry) -> None:
    """Where a tag lists them: somebody writes it between our reading and our writing."""
    server.referrers = False
    made = image(registry, b"one")
    config = empty_config(registry)
    ours = Manifest(config=config, layers=[config], subject=made, artifact_type="application/ours")
    theirs = Manifest(config=config, layers=[config], subject=made, artifact_type="application/theirs")
    other = replace(registry)
    tag = fallback_tag(made.digest)
    passed: list[str] = []

    class Between(Registry):
        def put(self, document: Manifest | ImageIndex, data: bytes | None = None, *, tag: str = "") -> Descriptor:
            written = super().put(document, data, tag=tag)
            if tag and not passed:
                passed.append(tag)
                # they had read it before we wrote
                entry = described(theirs)
                other.put(theirs)
                other.put(ImageIndex(manifests=[entry]), tag=tag)
            return written

    Between(registry.reference, registry.host).attach(ours)
    assert passed == [tag]
    assert len(registry.referrers(made.digest)) == 2


# --- who one is ----------------------------------------------------------------------------------------------


def docker_config(host: Host, content: dict[str, Any]) -> None:
    path = Path(host.environ["HOME"]) / ".docker/config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def entry(user: str = "ci", password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("tokens", [False, True])
def test_the_login_of_docker_serves(tokens: bool, host: Host) -> None:
    with registry_server(login=("ci", SECRET), tokens=tokens) as server:
        docker_config(host, {"auths": {server.host: entry()}})
        registry = Registry.of(f"{server.host}/team/images", host)
        made = image(registry, b"one")
        assert registry.pull(made.digest).digest == made.digest
        # one for reading, one for writing
        assert len(server.requests("GET", "^/token")) == 2 * tokens


def test_tokens_end_and_are_asked_for_again(host: Host) -> None:
    """While several threads read and write, each with what it may do."""
    with registry_server(login=("ci", SECRET), tokens=True) as server:
        docker_config(host, {"auths": {server.host: entry()}})
        registry = Registry.of(f"{server.host}/team/images", host)
        count = iter(range(1 << 30))

        def rotate(method: str, path: str) -> None:
            if next(count) % 29 == 28:
                server.token = f"token-{next(count)}"

        server.meanwhile = [rotate]
        blobs = [bytes([one]) * 1000 for one in range(24)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda data: blob(registry, data), blobs))
            list(pool.map(lambda data: registry.blob(described_blob(data)), blobs))
        assert len(server["team/images"].blobs) == 24


def described_blob(data: bytes) -> Descriptor:
    return Descriptor(media_type=LAYER, digest=digest_of_bytes(data), size=len(data))


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("known", [{}, {"password": "wrong-" + SECRET}])
def test_who_may_not_in_is_told_how_and_nothing_secret(tokens: bool, known: dict[str, str], host: Host) -> None:
    with registry_server(login=("ci", SECRET), tokens=tokens) as server:
        docker_config(host, {"auths": {server.host: entry(**known)}} if known else {})
        registry = Registry.of(f"{server.host}/team/images", host)
        with pytest.raises(RegistryError, match="401") as caught:
            image(registry, b"one")
        said = str(caught.value)
        assert f"docker login {server.host}" in said
        assert SECRET not in said and entry()["auth"] not in said and SECRET not in repr(registry.wire)
        assert caught.value.status == 401


def test_a_registry_that_says_our_password_is_not_quoted(host: Host) -> None:
    with registry_server(login=("ci", SECRET)) as server:
        docker_config(host, {"auths": {server.host: entry()}})
        registry = Registry.of(f"{server.host}/team/images", host)
        registry.tags()
        text = f"no {SECRET} nor {entry()['auth']}"
        server.trouble("GET", status=400, body=json.dumps({"errors": [{"code": "X", "message": text}]}).encode())
        with pytest.raises(RegistryError, match=r"no \*\*\* nor \*\*\*"):
            registry.tags()


def test_a_helper_is_asked(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-vault"
    program.write_text(
        '#!/bin/sh\nread host\n[ "$1" = get ] && [ "$host" = registry.example:5000 ] || '
        '{ echo "credentials not found in native keychain"; exit 1; }\n'
        f'echo \'{{"Username": "ci", "Secret": "{SECRET}"}}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for content in ({"credsStore": "vault"}, {"credHelpers": {"registry.example:5000": "vault"}}):
        docker_config(host, {"auths": {"registry.example:5000": {}}, **content})
        login = registry_login(host.environ, "registry.example:5000", "team/images")
        assert login is not None and (login.user, login.password) == ("ci", SECRET)
        assert SECRET not in repr(login)
        assert registry_login(host.environ, "other.example", "team/images") is None


def test_files_of_podman_and_skopeo_are_read(host: Host, tmp_path: Path) -> None:
    named = tmp_path / "auth.json"
    named.write_text(json.dumps({"auths": {"registry.example/team": entry("team"), "registry.example": entry("all")}}))
    environ = {**host.environ, "REGISTRY_AUTH_FILE": str(named)}
    users = {name: registry_login(environ, "registry.example", name) for name in ("team/images", "teams", "x/team")}
    assert {name: one.user for name, one in users.items() if one} == {
        "team/images": "team",
        "teams": "all",
        "x/team": "all",
    }
    own = Path(host.environ["HOME"]) / ".config/containers/auth.json"
    own.parent.mkdir(parents=True)
    named.rename(own)
    assert registry_login(host.environ, "registry.example", "team/a") is not None
    docker_config(host, {"auths": {"https://registry.example/v1/": {"identitytoken": SECRET}}})
    login = registry_login(host.environ, "registry.example", "team/a")
    assert login is not None and login.identity == SECRET


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"auths": {"registry.example": {"auth": "%%"}}}'])
def test_a_broken_file_is_named_and_not_quoted(text: str, host: Host) -> None:
    docker_config(host, {})
    (Path(host.environ["HOME"]) / ".docker/config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        registry_login(host.environ, "registry.example", "team")


def test_nobody_else_sees_the_login(host: Host) -> None:
    """Blobs may lie with somebody else, and an upload may be sent there."""
    with registry_server(login=("ci", SECRET)) as server, registry_server() as other:
        docker_config(host, {"auths": {server.host: entry()}})
        registry = Registry.of(f"{server.host}/team/images", host)
        made = image(registry, b"one")
        other["team/images"].blobs = server["team/images"].blobs
        server.elsewhere = f"http://{other.host}/elsewhere"
        registry.compare(made.digest)
        # a place that asks for a login itself gets none
        other.login = ("a", "b")
        server.elsewhere = f"http://{other.host}"
        with pytest.raises(RegistryError, match="401"):
            registry.compare(made.digest)
        server.trouble("POST", status=202, headers={"Location": f"http://{other.host}/v2/team/images/blobs/uploads/x"})
        with pytest.raises(RegistryError):
            blob(registry, b"more")
        assert other.asked and not [one for one in other.asked if "authorization" in one.headers]


def test_plain_http_is_for_this_computer_alone(server: Registries, registry: Registry, host: Host) -> None:
    assert Registry.of("registry.example/team", host).wire.origin == "https://registry.example"
    made = image(registry, b"one")
    server.elsewhere = "http://storage.example"
    with pytest.raises(RegistryError, match=r"it sends us to http://storage\.example"):
        registry.compare(made.digest)
    docker_config(host, {"auths": {server.host: entry()}})
    server.trouble("GET", status=401, headers={"WWW-Authenticate": 'Bearer realm="http://login.example/token"'})
    with pytest.raises(RegistryError, match=r"it sends us to http://login\.example"):
        registry.tags()


# --- registries that lie -------------------------------------------------------------------------------------


def test_other_bytes_under_a_digest_are_noticed(server: Registries, registry: Registry) -> None:
    made = image(registry, b"one", b"two")
    stored = server["team/images"]
    layer = digest_of_bytes(b"two")
    for other in (b"tow", b"tw", b"two!"):
        stored.blobs[layer] = other
        with pytest.raises(RegistryError, match="it hands out something else"):
            registry.compare(made.digest)
    stored.blobs[layer] = b"two"
    kind, data = stored.manifests[made.digest]
    stored.manifests[made.digest] = kind, data + b" "
    with pytest.raises(RegistryError, match="another document"):
        registry.compare(made.digest)


def test_what_is_known_is_only_looked_for(server: Registries, registry: Registry) -> None:
    made = image(registry, b"one", b"two")
    known = frozenset({digest_of_bytes(b"two")})
    registry.compare(made.digest, known=known)
    assert not server.requests("GET", f"blobs/{digest_of_bytes(b'two')}")
    del server["team/images"].blobs[digest_of_bytes(b"two")]
    with pytest.raises(RegistryError, match="is not there"):
        registry.compare(made.digest, known=known)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (IMAGE, b"[]"),
        (IMAGE, b"{"),
        (IMAGE, b"[" * 100_000),
        (IMAGE, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()),
        (IMAGE, json.dumps({"schemaVersion": 1, "mediaType": IMAGE}).encode()),
        (INDEX, json.dumps({"schemaVersion": 2, "manifests": [{"digest": "sha256:../.."}]}).encode()),
        ("text/html", b"<html>log in here</html>"),
    ],
)
def test_a_document_that_is_none_is_refused(kind: str, data: bytes, server: Registries, registry: Registry) -> None:
    digest = digest_of_bytes(data)
    server["team/images"].manifests[digest] = kind, data
    server["team/images"].tags["nightly"] = digest
    with pytest.raises(RegistryError, match="reading nightly: "):
        registry.pull("nightly")


def test_an_endless_answer_ends(server: Registries, registry: Registry) -> None:
    server["team/images"].manifests[digest_of_bytes(b"x" * (5 << 20))] = IMAGE, b"x" * (5 << 20)
    server["team/images"].tags["nightly"] = digest_of_bytes(b"x" * (5 << 20))
    with pytest.raises(RegistryError, match="an answer of more than 4096 KiB"):
        registry.pull("nightly")


@pytest.mark.parametrize("tags", [["../x"], [1], "nightly", ["a\nb"]])
def test_tags_that_are_none_are_refused(tags: object, server: Registries, registry: Registry) -> None:
    server.trouble("GET", status=200, body=json.dumps({"tags": tags}).encode())
    with pytest.raises(RegistryError, match="listing tags: "):
        registry.tags()


# --- bad days ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 0])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "GET"])
def test_what_passes_is_waited_for(status: int, method: str, server: Registries, registry: Registry) -> None:
    server.trouble(method, status=status, times=2, headers={"Retry-After": "0"})
    made = image(registry, b"one")
    assert registry.compare(made.digest).digest == made.digest


def test_a_registry_that_asks_for_patience_gets_it(server: Registries, registry: Registry) -> None:
    server.trouble("GET", status=429, headers={"Retry-After": "1"})
    begun = time.monotonic()
    registry.tags()
    assert time.monotonic() - begun >= 1
    server.trouble("GET", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(RegistryError, match="429") as caught:
        registry.tags()
    assert "3600 s" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b"", "docker login"),
        (404, b"", "may it be written to"),
        (405, b"", "may it be written to"),
        (507, b"", "its disk is full"),
        (500, b'{"errors":[{"code":"UNKNOWN","detail":{"Op":"write","Err":28}}]}', "its disk is full"),
        (500, b"write /var/lib/x: no space left on device", "its disk is full"),
    ],
)
def test_what_does_not_pass_is_said_at_once(
    status: int, body: bytes, words: str, server: Registries, registry: Registry
) -> None:
    server.trouble("POST|PUT", status=status, body=body, times=ALWAYS)
    with pytest.raises(RegistryError) as caught:
        image(registry, b"one")
    assert words in str(caught.value) and str(status) in str(caught.value)
    assert len(server.requests("POST|PUT")) == 1
    assert caught.value.status == status and caught.value.exit_code == 8


def test_a_registry_that_stays_broken_is_given_up(server: Registries, registry: Registry) -> None:
    server.trouble("PUT", "manifests", status=503, times=ALWAYS, headers={"Retry-After": "0"})
    with pytest.raises(RegistryError, match="503"):
        image(registry, b"one")
    assert len(server.requests("PUT", "manifests")) == 5


def test_a_registry_that_keeps_silent_is_given_up(server: Registries, registry: Registry) -> None:
    server.trouble("GET", delay=2, times=2)
    with pytest.raises(RegistryError, match="it keeps silent"):
        replace(registry, seconds=0.3).tags()
    assert len(server.requests("GET")) == 2


def test_a_trickle_is_given_up(registry: Registry) -> None:
    from dsvm.release.wire import Slow, paced

    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"x"

    with pytest.raises(Slow, match="bytes a second"):
        list(paced(trickle(), patience=0.2))


def test_a_registry_that_has_gone_is_said(server: Registries, host: Host) -> None:
    server.close()
    with pytest.raises(RegistryError, match=r"no network connection to 127\.0\.0\.1"):
        Registry.of(f"{server.host}/team/images", host).tags()


# --- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "images", "team/images", "https://registry.example/team", "registry.example/Team", "registry.example/a:b:c",
     "registry.example/", "registry.example/../x", "user:word@registry.example/x", "registry.example/x@sha256:12"],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Reference.of(text)
    assert "word" not in str(caught.value)


label = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(
    host=st.sampled_from(["localhost", "localhost:5000", "registry.example", "[::1]:5000", "127.0.0.1:80"]),
    path=st.lists(label, min_size=1, max_size=4),
    tag=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True) | st.just(""),
    digest=st.binary(max_size=3).map(lambda data: f"sha256:{hashlib.sha256(data).hexdigest()}") | st.just(""),
)
def test_a_reference_is_read_as_it_is_written(host: str, path: list[str], tag: str, digest: str) -> None:
    one = Reference(host, "/".join(path), tag, digest)
    assert Reference.of(str(one)) == one
    assert one.at("x").what == "x" and one.at(f"sha256:{'0' * 64}").tag == ""


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost:1", True), ("127.9.9.9", True), ("[::1]:5000", True), ("localhost.example", False),
     ("10.0.0.1", False)],
)  # fmt: skip
def test_only_this_computer_is_loopback(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([IMAGE, INDEX]),
    st.dictionaries(st.sampled_from(["schemaVersion", "config", "layers", "manifests", "subject", "x"]), json_values),
)
def test_no_document_does_more_than_be_refused(kind: str, document: dict[str, Any]) -> None:
    data = json.dumps(document).encode()
    try:
        found = read_document(data, kind)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert read_document(found.data, kind) == found
