"""A vendor's signed repository and a .deb with a URL, served on loopback: lock, fetch, build, verify."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import apt_archive as archives
import pytest
from pysequoia import Tsk
from workbench import CUT_OFF, SMALL, Catalog, Invoke, docker, run

TOOL = """\
tool: {name}
summary: A tool of a vendor
homepage: https://vendor.test
license: MIT
group: system
sources:
  - {source}
commands: [{name}]
checks:
  - version: {name} --version
  - run: {name} 2 3
    expect: ^5$
"""
PROGRAM = '#!/bin/sh\n[ "$1" = --version ] && echo {name} {version} || dc -e "$1 $2 + p"\n'
# what real vendors' packages do
POSTINST = """\
#!/bin/sh
set -e
echo 'deb http://vendor.test stable main' > /etc/apt/sources.list.d/vendor.list
mkdir -p /usr/share/keyrings
echo key > /usr/share/keyrings/vendor.gpg
"""
# what RStudio's does: a key, a server at work, and a start with the machine
STUDIO = """\
#!/bin/sh
set -e
mkdir -p /var/lib/rstudio-server/body
echo key > /var/lib/rstudio-server/secure-cookie-key
/usr/bin/rserver 300 > /dev/null 2>&1 &
printf '#!/bin/sh\\n### BEGIN INIT INFO\\n# Provides: rstudio-server\\n# Required-Start:\\n# Required-Stop:\\n' \
    > /etc/init.d/rstudio-server
printf '# Default-Start: 2 3 4 5\\n# Default-Stop: 0 1 6\\n### END INIT INFO\\n' >> /etc/init.d/rstudio-server
chmod +x /etc/init.d/rstudio-server
update-rc.d rstudio-server defaults
"""


@dataclass(frozen=True)
class Vendor:
    url: str
    folder: Path
    key: Tsk


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """A repository with `vtool`, which needs `vlib` of its own and Debian's dc, and beside it vstudio's .deb."""
    debs, folder, key = tmp_path / "debs", tmp_path / "served", archives.new_key("Vendor")

    def program(name: str, version: str, more: Mapping[str, str] = MappingProxyType({}), **fields: str) -> Path:
        files = {f"/usr/bin/{name}": PROGRAM.format(name=name, version=version), **more}
        return archives.deb(debs, name, version, files=files, **fields)

    vtool = program("vtool", "2.0", Depends="vlib, dc", postinst=POSTINST)
    # the newer dc is not what the repository's manifest names
    archives.publish(
        folder / "apt",
        [vtool, archives.deb(debs, "vlib"), archives.deb(debs, "dc", "99")],
        key,
        origin="Vendor",
    )
    archives.write_key(folder / "apt/key.asc", [key], armored=True)
    server_program = {"/usr/bin/rserver": '#!/bin/sh\nsleep "$1"\n'}
    vstudio = program("vstudio", "3.1", server_program, Depends="dc", postinst=STUDIO)
    (folder / "vstudio-3.1.deb").write_bytes(vstudio.read_bytes())
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Vendor(f"http://127.0.0.1:{server.server_address[1]}", folder, key)
        server.shutdown()


@pytest.fixture
def session(own: Catalog, vendor: Vendor) -> Catalog:
    """The small catalog with two tools of the vendor's."""
    (own.folder / "repositories").mkdir()
    write_repository(own, vendor, archives.fingerprint(vendor.key))
    sources = {
        "vtool": "{apt: [vtool], repository: vendor}",
        "vstudio": f'{{apt: [{{deb: "{vendor.url}/vstudio-3.1.deb", package: vstudio}}]}}',
    }
    for name, source in sources.items():
        (own.folder / f"tools/{name}.yaml").write_text(TOOL.format(name=name, source=source))
    variant = own.folder / f"variants/{SMALL}.yaml"
    variant.write_text(variant.read_text().replace("dc]", "dc, vtool, vstudio]"))
    return own


def write_repository(catalog: Catalog, vendor: Vendor, fingerprint: str) -> None:
    (catalog.folder / "repositories/vendor.yaml").write_text(
        f"repository: vendor\nsummary: A vendor's\nuri: {vendor.url}/apt\n"
        f"key: {{urls: [key.asc], fingerprint: {fingerprint}}}\n"
        "places: [{base: debian-12, suite: stable, components: [main]}]\n"
        "packages: [vtool, vlib]\n"
    )


@pytest.mark.usefixtures("no_proxy")
def test_a_vendor_s_packages_are_locked_built_and_verified(session: Catalog, vendor: Vendor, invoke: Invoke) -> None:
    try:
        invoke("build", *session.words, "--update-stale").passed()
        (system,) = (section for section in session.read()["sections"] if section["id"] == "system")
        pins = {pin["name"]: pin for pin in system["pins"]}
        where = {name: pins[name]["registry"] for name in ("vtool", "vlib", "vstudio", "dc")}
        assert where == {"vtool": "vendor", "vlib": "vendor", "vstudio": "url", "dc": "debian"}
        assert pins["dc"]["version"] != "99"
        named = json.dumps([pin for pin in pins.values() if pin["registry"] != "url"])
        assert "127.0.0.1" not in named, "a lock names no repository's host"
        names = ("vendor.list", "vendor.gpg", "dsvm-trust", "secure-cookie-key", "*rstudio-server")
        traces = [word for name in names for word in ("-o", "-name", name)]
        inside = docker(
            *("run", "--rm", "--user", "root", "--entrypoint", "find", f"dsvm/{SMALL}:latest", "/", "-xdev"),
            *("-path", "/var/lib/rstudio-server", "-o", "(", *traces[1:], ")", "-print"),
        )
        assert inside == "", "the image has neither the repository nor its key, and no secret that a package made"
        # what was fetched is enough: no repository, no network
        invoke("build", *session.words, "--offline", "--no-cache", under=tuple(CUT_OFF)).passed()
    finally:
        run(["docker", "image", "rm", "--force", f"dsvm/{SMALL}:latest"])


@pytest.mark.usefixtures("no_proxy")
def test_what_is_not_as_the_manifest_says_stops_the_lock(session: Catalog, vendor: Vendor, invoke: Invoke) -> None:
    before = session.lock.read_bytes()
    wanted, real = archives.fingerprint(archives.new_key()), archives.fingerprint(vendor.key)
    write_repository(session, vendor, wanted)
    invoke("lock", *session.words).refused(3, "repository 'vendor'", wanted, real, "manifest")
    write_repository(session, vendor, real)
    archives.sign_again(vendor.folder / "apt", archives.new_key("Thief"))
    invoke("lock", *session.words).refused(3, "repository 'vendor'", "not signed by the key", "NO_PUBKEY")
    (vendor.folder / "apt/dists/stable/InRelease").unlink()
    invoke("lock", *session.words).refused(3, "tool 'vtool'", "repository 'vendor' cannot be read", "--leave-out vtool")
    assert session.lock.read_bytes() == before, "nothing is written"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached without this host's proxies."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
