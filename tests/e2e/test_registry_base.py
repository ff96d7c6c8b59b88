"""A base from a registry, by digest: a real registry on loopback, filled with a base of our own making."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import CUT_OFF, SMALL, Catalog, Invoke, docker, image, run

from dsvm.ecosystems import layout_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with nothing in it; its program comes out of the distribution's package, which stays uninstalled."""
    folder = tmp_path_factory.mktemp("registry")
    done = subprocess.run(["apt-get", "download", "docker-registry"], cwd=folder, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no docker-registry package within reach: {done.stderr.decode()[-200:]}")
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    log = (folder / "log").open("w")
    process = subprocess.Popen([folder / "usr/bin/docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def pushed(registry: str, small: Catalog, tmp_path: Path) -> str:
    """The base of the small image with a user of its own, pushed as library/debian; its reference without the host."""
    from dsvm import catalog, lock
    from dsvm.store.store import default_root

    (section,) = (one for one in lock.read(small.lock).sections if one.id == "base")
    made = layout_folder(catalog.load().bases["debian-12"], section, default_root())
    base = f"base=oci-layout://{made}@{(made / 'digest').read_text().strip()}"
    # as Ubuntu's image has one
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN useradd --uid 1000 --create-home ubuntu\n")
    layout = tmp_path / "layout.tar"
    docker("buildx", "build", "--build-context", base, "--output", f"type=oci,dest={layout}", tmp_path)
    target = f"docker://{registry}/library/debian:12"
    run(["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"oci-archive:{layout}", target]).passed()
    shown = run(["skopeo", "inspect", "--raw", "--tls-verify=false", target]).passed()
    return f"library/debian@sha256:{hashlib.sha256(shown.out.encode()).hexdigest()}"


def test_a_base_comes_from_a_registry_by_digest(
    registry: str, pushed: str, own: Catalog, invoke: Invoke, tmp_path: Path
) -> None:
    from dsvm.catalog import MANIFESTS

    (own.folder / "bases").mkdir()
    text = (MANIFESTS / "bases/debian-12.yaml").read_text()
    (own.folder / "bases/debian-12.yaml").write_text(re.sub(r"(?m)^image: .*$", f"image: {pushed}", text))
    config = tmp_path / "config.yaml"
    config.write_text(f"sources:\n  docker: http://{registry}\n")
    own.lock.unlink()
    env = {"DSVM_CONFIG": str(config)}
    try:
        invoke("build", *own.words, env=env).passed()
        lock = own.read()
        assert lock["base_kind"] == "registry"
        (base,) = (section for section in lock["sections"] if section["id"] == "base")
        assert {pin["name"] for pin in base["pins"]} == {"manifest", "config", "layer-000", "layer-001"}
        assert base["extra"]["packages"]["dpkg"]
        assert registry not in json.dumps(lock), "a lock names no registry's host"
        built = image(f"dsvm/{SMALL}:latest")
        assert built is not None
        assert built["Config"]["Labels"]["org.dsvm.base"] == "debian-12 (registry)"
        words = ("run", "--rm", "--entrypoint", "/bin/bash", f"dsvm/{SMALL}:latest", "-c", "id -un 1000; ls /home")
        assert docker(*words).split() == ["ds", "ds"], "the base's own user has gone"
        # what was fetched is enough: no registry, no network
        invoke("build", *own.words, "--offline", "--no-cache", under=tuple(CUT_OFF)).passed()
    finally:
        run(["docker", "image", "rm", "--force", f"dsvm/{SMALL}:latest"])


def test_a_registry_that_serves_something_else_is_refused(
    registry: str, pushed: str, own: Catalog, invoke: Invoke, tmp_path: Path
) -> None:
    """A digest that the registry does not have is no reachable base: the archive takes its place, with the reason."""
    from dsvm.catalog import MANIFESTS

    (own.folder / "bases").mkdir()
    text = (MANIFESTS / "bases/debian-12.yaml").read_text()
    wrong = f"library/debian@sha256:{'0' * 64}"
    (own.folder / "bases/debian-12.yaml").write_text(re.sub(r"(?m)^image: .*$", f"image: {wrong}", text))
    config = tmp_path / "config.yaml"
    config.write_text(f"sources:\n  docker: http://{registry}\n")
    own.lock.unlink()
    done = invoke("lock", *own.words, env={"DSVM_CONFIG": str(config)}).passed()
    assert "manifest unknown" in done.text
    lock = own.read()
    assert lock["base_kind"] == "bootstrap"
    assert registry not in json.dumps(lock), "a lock names no registry's host"
