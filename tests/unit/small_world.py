"""A machine whose every registry is a folder: Debian 12 of three packages, a few wheels, and the commands of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import apt_archive as archives
import warm
import yaml
from pysequoia import Tsk
from test_pypi import wheel
from tiny import project

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class SmallWorld:
    """In `mine`, a user's own catalog, debian-12 comes from the folder `debian`."""

    folder: Path
    own: Path | None = None
    sources: dict[str, str] = field(default_factory=dict)
    python_path: tuple[Path, ...] = ()
    key: Tsk = field(default_factory=lambda: archives.new_key("Distribution"))

    @property
    def mine(self) -> Path:
        return self.own or self.folder / "mine"

    @property
    def wheels(self) -> Path:
        return self.folder / "wheels"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def set_up(self, debs: Iterable[Path] = ()) -> None:
        made = self.folder / "debs"
        # an essential package, apt, and the runtime of Python: what locking a base and an environment asks for
        ours = [archives.deb(made, "base-files", Essential="yes"), *(archives.deb(made, one) for one in BASE)]
        archives.publish(self.folder / "debian", [*ours, *debs], self.key, suite="bookworm")
        ring = archives.write_key(self.folder / "ring.gpg", [self.key])
        base = project().bases["debian-12"].model_dump(mode="json", exclude_none=True)
        bootstrap = {"suites": ["debian/bookworm"], "keyring": str(ring)}
        changes = {"image": None, "bootstrap": bootstrap, "runtimes": {"python": ["python3-minimal"]}, "system": None}
        self.write("bases/debian-12.yaml", {**base, **changes, "compilers": {}})
        self.write("compat.yaml", {"policy": {"grace": dict.fromkeys(("debian", "python"), 36500)}})
        self.sources["debian"] = (self.folder / "debian").as_uri()
        self.wheels.mkdir(exist_ok=True)
        self.add_wheel("uv", "0.13.9")

    def add_wheel(self, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
        file, data = wheel(name, version, requires=requires)
        (self.wheels / file).write_bytes(data)

    def write(self, name: str, data: object) -> Path:
        """A file of the user's own catalog, as YAML unless it is text."""
        path = self.mine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
        return path

    def invoke(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A command of ours with the user's own catalog, on this host."""
        argv, environ = self.command(words, env)
        return warm.invoke(argv[3:], environ)

    def begin(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """The same, without waiting for its end; what it prints goes nowhere."""
        argv, environ = self.command(words, env)
        return subprocess.Popen(argv, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def command(self, words: Iterable[str], env: Mapping[str, str] | None) -> tuple[list[str], dict[str, str]]:
        """The words and the environment of a command."""
        config = self.folder / "config.yaml"
        config.write_text(yaml.safe_dump({"sources": self.sources}))
        path = os.pathsep.join(map(str, (ROOT, *self.python_path)))
        environ = {
            "DSVM_CONFIG": str(config),
            "DSVM_STORE": str(self.store),
            "HOME": str(self.folder),
            "NO_PROXY": "127.0.0.1",
            "PATH": os.environ["PATH"],
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
            "PYTHONPATH": path,
            "UV_HTTP_RETRIES": "0",  # what does not answer here never will
            **(env or {}),
        }
        return [sys.executable, "-m", "invoke", *words, "--catalog", str(self.mine)], environ


BASE = ("apt", "python3-minimal", "tini", "libnss-wrapper")


def tool(name: str, *sources: Mapping[str, object], **more: object) -> dict[str, object]:
    """The manifest of a tool, with checks that nothing here runs."""
    return {
        "tool": name, "summary": "s", "homepage": "https://example.invalid", "license": "MIT", "group": "g",
        "sources": list(sources), "checks": [{"version": "v"}, {"run": "r"}], **more,
    }  # fmt: skip
