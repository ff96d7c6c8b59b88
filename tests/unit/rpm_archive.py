"""Real archives of RPM packages, small and signed, made in a folder: dnf and rpm themselves read them."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from pysequoia import Cert

PROGRAMS = ("dnf-3", "rpm", "rpmkeys", "rpmbuild", "rpmsign", "createrepo_c", "gpg")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
NEEDED = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
# A package is built with nothing of the machine's own in it.
PLAIN = (
    *("--define", "__os_install_post %{nil}", "--define", "_build_id_links none", "--define", "debug_package %{nil}"),
    *("--define", "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "--define", "_buildhost test"),
)


class Signer:
    """A key of gpg's, in a folder of its own: the form of key and signature that rpm knows for the longest time."""

    def __init__(self, home: Path, expire: str = "never") -> None:
        self.home = home
        home.mkdir(parents=True, mode=0o700)
        atexit.register(self.stop)
        self._gpg(
            "--passphrase", "", "--quick-generate-key", "Archive <archive@example.test>", "ed25519", "sign", expire
        )
        self.armored = self._gpg("--armor", "--export").decode()
        self.fingerprint = Cert.from_bytes(self.armored.encode()).fingerprint.upper()

    def stop(self) -> None:
        """End the agent that gpg has started."""
        argv: list[str | Path] = ["gpgconf", "--homedir", self.home, "--kill", "all"]
        subprocess.run(argv, check=False)

    def _gpg(self, *args: str) -> bytes:
        argv: list[str | Path] = ["gpg", "--homedir", self.home, "--batch", "--quiet", *args]
        return subprocess.run(argv, check=True, capture_output=True).stdout

    def sign(self, path: Path) -> None:
        """Put a detached signature beside `path`."""
        self._gpg("--yes", "--armor", "--detach-sign", str(path))

    def sign_package(self, *paths: Path) -> None:
        macros = ("--define", f"__gpg {shutil.which('gpg')}", "--define", f"_gpg_name {self.fingerprint}")
        env = {**os.environ, "GNUPGHOME": str(self.home)}
        subprocess.run(["rpmsign", *macros, "--resign", *paths], env=env, check=True, capture_output=True)


def rpm(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    arch: str = "x86_64",
    files: Mapping[str, str] | None = None,
    scripts: str = "",
    signer: Signer | None = None,
    **fields: str | Sequence[str],
) -> Path:
    """A real package with `files` and further fields (`Requires=["a", "b >= 2"]`), and `%post` and the like.

    `version` is [EPOCH:]VERSION[-RELEASE].
    """
    epoch, _, rest = version.rpartition(":")
    version, _, release = rest.partition("-")
    top = folder / f"{name}-{rest}.build"
    tree = top / "tree"
    contents = files or {f"/opt/{name}/README": f"{name} {version}\n"}
    for path, text in contents.items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755 if text.startswith("#!") else 0o644)
    lines = [
        *(f"Name: {name}", f"Version: {version}", f"Release: {release or '1'}", "Summary: test", "License: MIT"),
        *([f"Epoch: {epoch}"] if epoch else []),
        *([f"BuildArch: {arch}"] if arch == "noarch" else []),
        "AutoReqProv: no",
    ]
    for field, values in fields.items():
        lines += [f"{field}: {value}" for value in ([values] if isinstance(values, str) else values)]
    lines += ["%description", "test", "%install", f"mkdir -p %{{buildroot}} && cp -a {tree}/. %{{buildroot}}/"]
    lines += [scripts, "%files", *contents]
    spec = top / "package.spec"
    spec.write_text("\n".join(lines) + "\n")
    where = ("--define", f"_topdir {top}", "--define", f"_rpmdir {top}/out")
    subprocess.run(
        ["rpmbuild", "-bb", "--quiet", "--target", arch, *where, *PLAIN, spec], check=True, capture_output=True
    )
    (built,) = (top / "out").glob("*.rpm")
    target = folder / built.name
    shutil.move(built, target)
    shutil.rmtree(top)
    if signer is not None:
        signer.sign_package(target)
    return target


def many(folder: Path, names: Iterable[str], version: str = "1.0-1.el9") -> Mapping[str, Path]:
    """A package of each name, made by one run of rpmbuild: name -> file."""
    version, _, release = version.partition("-")
    top = folder / "many.build"
    top.mkdir(parents=True)
    wanted = sorted(set(names))
    head = [
        *("Name: many", f"Version: {version}", f"Release: {release}", "Summary: test", "License: MIT"),
        *("AutoReqProv: no", "%description", "test"),
    ]
    lines = [
        line for name in wanted for line in (f"%package -n {name}", "Summary: test", f"%description -n {name}", "x")
    ]
    spec = top / "many.spec"
    spec.write_text("\n".join([*head, *lines, *(f"%files -n {name}" for name in wanted)]) + "\n")
    where = ("--define", f"_topdir {top}", "--define", f"_rpmdir {top}/out")
    argv: list[str | Path] = ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", *where, *PLAIN, spec]
    subprocess.run(argv, check=True, capture_output=True)
    return {name: top / "out" / f"{name}-{version}-{release}.x86_64.rpm" for name in wanted}


def publish(
    root: Path, rpms: Iterable[Path], signer: Signer | None, *, modules: str = "", checksum: str = "sha256"
) -> Path:
    """Put packages into the repository at `root`, write its metadata anew and sign them if there is a signer."""
    (root / "Packages").mkdir(parents=True, exist_ok=True)
    for path in rpms:
        shutil.copy(path, root / "Packages")
    argv: list[str | Path] = ["createrepo_c", "--quiet", "--checksum", checksum, root]
    subprocess.run(argv, check=True, capture_output=True)
    if modules:
        (root / "modules.yaml").write_text(modules)
        argv = ["modifyrepo_c", "--mdtype=modules", root / "modules.yaml", root / "repodata"]
        subprocess.run(argv, check=True, capture_output=True)
    (root / "repodata/repomd.xml.asc").unlink(missing_ok=True)
    if signer is not None:
        signer.sign(root / "repodata/repomd.xml")
    return root


def database(folder: Path, rpms: Iterable[Path]) -> Path:
    """An rpm database of a system that has these packages."""
    folder.mkdir(parents=True)
    where = ("--define", f"_dbpath {folder}")
    argv: list[str | Path] = ["rpm", *where, "--install", "--justdb", "--nodeps", "--ignoresize", *rpms]
    subprocess.run(argv, check=True, capture_output=True)
    return folder
