"""A conda environment in an image: from a channel on loopback to what the image holds, with the network off."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from workbench import BIG, CUT_OFF, ROOT, Catalog, Invoke, forget, image

sys.path.insert(0, str(ROOT / "tests" / "unit"))

from conda_channel import fill

pytestmark = pytest.mark.slow

VARIANT = "e2e-conda"
MANIFESTS = {
    "variants/e2e-conda.yaml": """
variant: e2e-conda
summary: Debian 12 with a small conda environment
base: debian-12
accelerator: cpu
tools: [tini, small-conda]
""",
    "tools/small-conda.yaml": """
tool: small-conda
summary: A few packages of a channel that a test makes
homepage: https://example.invalid
license: MIT
group: conda
sources:
  - conda:
      packages: [tool, pure]
      prefix: /opt/small-conda
      commands: [tool, pure]
commands: [tool, pure]
checks:
  - version: tool
  - run: pure
    expect: ^pure /opt/small-conda/lib/python3\\.11/site-packages/pure/__pycache__/__init__\\.cpython-311\\.pyc$
""",
}


@dataclass(frozen=True)
class Own(Catalog):
    """The catalog of variant `e2e-conda`."""

    @property
    def words(self) -> tuple[str, ...]:
        return ("--variant", VARIANT, "--catalog", str(self.folder))

    @property
    def lock(self) -> Path:
        return self.folder / "locks" / f"{VARIANT}.json"


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a channel named conda-forge."""
    folder = tmp_path_factory.mktemp("conda")
    fill(folder / "conda-forge")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/conda-forge"
    server.shutdown()


@pytest.fixture
def conda(tmp_path: Path) -> Iterator[Own]:
    """The catalog; its base is locked as that of the big variant, so that it need not be made anew."""
    own = Own(tmp_path / "catalog")
    for name, text in MANIFESTS.items():
        (own.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (own.folder / name).write_text(text)
    big = json.loads((ROOT / "manifests" / "locks" / f"{BIG}.json").read_text())
    shared = [section for section in big["sections"] if not section["tools"] and section["id"] != "system"]
    own.lock.parent.mkdir()
    own.lock.write_text(json.dumps({**big, "variant": VARIANT, "choices": [], "sections": shared}))
    try:
        yield own
    finally:
        forget(VARIANT)


def layers() -> list[str]:
    found = image(f"dsvm/{VARIANT}:latest")
    assert found is not None
    return list(found["RootFS"]["Layers"])


def test_an_environment_from_a_mirror_is_locked_built_and_verified(
    conda: Own, channel: str, invoke: Invoke, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"sources:\n  conda-forge: {channel}\n")
    invoke("build", *conda.words, "--update-stale", env={"DSVM_CONFIG": str(config)}).passed()
    text = conda.lock.read_text()
    assert channel.rpartition("/")[0].removeprefix("http://") not in text, "a lock names no registry's host"
    (section,) = (one for one in json.loads(text)["sections"] if one["ecosystem"] == "conda")
    assert {pin["file"].partition("/")[2] for pin in section["pins"]} == {
        "base-files-1.2-h0_0.conda",
        "pure-2.1-pyh0_0.conda",
        "python-3.11.2-0_cpython.conda",
        "tool-1.0-h0_0.tar.bz2",
    }
    report = json.loads((ROOT / "build" / VARIANT / "report.json").read_text())
    outcomes = {(one["tool"], one["check"]): one["outcome"] for one in report["results"]}
    assert outcomes["small-conda", "version"] == "passed"
    assert outcomes["small-conda", "run: pure"] == "passed"
    assert outcomes["image", "installed packages: small-conda-conda"] == "passed"
    before = layers()
    # what was fetched is enough: no channel, no network; and it is the same image again
    invoke("build", *conda.words, "--offline", "--no-cache", under=tuple(CUT_OFF)).passed()
    assert layers() == before
