"""The tool julia: the layout of the official archive, from a server of our own to a program that runs."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from beyond import beyond
from server import Resource, Server
from tiny import project

from dsvm.ecosystems import Context, Request, url
from dsvm.host import Host
from dsvm.model import Section, StoreError, canonical_json
from dsvm.store import Store

INSTALL = Path(__file__).parents[2] / "scripts/image/install-url"
# Stands in for Julia, and finds its library beside itself as Julia does.
PROGRAM = """#!/bin/sh
. "$(dirname "$(readlink -f "$0")")/../lib/julia/version"
echo "julia version $VERSION"
"""


def official_archive(version: str) -> bytes:
    """An archive laid out as the official ones: everything in one folder, that of the version."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in {
            "bin/julia": PROGRAM,
            "etc/julia/startup.jl": "",
            "lib/julia/version": f"VERSION={version}\n",
            "libexec/julia/7z": "#!/bin/sh\n",
            "share/julia/base.jl": "",
            "LICENSE.md": "MIT",
        }.items():
            member = tarfile.TarInfo(f"julia-{version}/{name}")
            member.size, member.mode = len(text), 0o755 if text.startswith("#!") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo(f"julia-{version}/lib/libjulia.so")
        link.type, link.linkname = tarfile.SYMTYPE, "libjulia.so.1"
        tar.addfile(link)
    return out.getvalue()


def at_loopback(server: Server) -> tuple[url.Download, Resource]:
    """The download of manifests/tools/julia.yaml, but from `server`."""
    official = project().tools["julia"].sources[0]
    (download,) = official.requests()["url"]
    resource = Resource(official_archive(download.version))
    place = server.add(f"/julia-{download.version}-linux-x86_64.tar.gz", resource)
    sha256 = hashlib.sha256(resource.content).hexdigest()
    return download.model_copy(update={"url": place, "sha256": sha256}), resource


@pytest.fixture
def context(host: Host, tmp_path: Path) -> Context:
    return Context(
        base=project().bases["debian-12"], host=host, store=Store(tmp_path / "store"), work=tmp_path / "work"
    )


def resolve(download: url.Download, context: Context) -> Section:
    request = Request("julia-url", "base", ((download,),))
    pins, extra = url.ECOSYSTEM.resolve(request, context)
    assert beyond("url", request, context, pins, extra) == []
    return Section(
        id="julia-url", ecosystem="url", tools=("julia",), request={}, input="0" * 64, epoch=1_700_000_000,
        pins=tuple(pins), extra=dict(extra),
    )  # fmt: skip


def test_the_archive_becomes_a_julia_that_runs(server: Server, context: Context, tmp_path: Path) -> None:
    download, _ = at_loopback(server)
    section = resolve(download, context)
    files = tmp_path / "store/files"
    files.mkdir(parents=True)
    for pin in section.pins:
        (files / url.ECOSYSTEM.file_name(pin)).hardlink_to(context.store.path(pin.sha256))
    (files / "section.json").write_text(canonical_json(section))
    out = tmp_path / "out"
    # install-url's folders, which are the build's, are these here
    program = (
        "import sys; from importlib.machinery import SourceFileLoader as L; from pathlib import Path; "
        "sys.dont_write_bytecode = True; script = L('install_url', sys.argv[1]).load_module(); "
        "script.STORE, script.OUT = Path(sys.argv[2]), Path(sys.argv[3]); "
        "sys.argv = ['install-url', '--epoch', '1700000000', 'files']; script.main()"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, INSTALL, files.parent, out], check=True)

    assert (out / "usr/local/bin/julia").readlink() == Path("/opt/julia/bin/julia")
    said = subprocess.run([out / "opt/julia/bin/julia"], capture_output=True, text=True, check=True).stdout
    assert said == f"julia version {download.version}\n"
    assert (out / "opt/julia/lib/libjulia.so").readlink() == Path("libjulia.so.1")
    assert (out / "opt/julia/share/julia/base.jl").stat().st_mode & 0o777 == 0o644

    def run(argv: object) -> str:
        assert isinstance(argv, list)
        return subprocess.run([argv[0], f"{out}{argv[1]}"], capture_output=True, text=True, check=True).stdout

    assert url.ECOSYSTEM.installed(section, run) == {Path(download.url).name: download.version}


def test_another_archive_than_the_manifest_names_is_refused(server: Server, context: Context) -> None:
    download, resource = at_loopback(server)
    resource.content = official_archive("9.9.9")
    with pytest.raises(StoreError, match=r"(?s)julia-.*SHA-256"):
        resolve(download, context)
