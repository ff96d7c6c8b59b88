"""dnf: real repositories in a folder, signed with real keys, read by the real dnf and installed by the real rpm."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import rpm_archive as archives
from beyond import beyond
from held import differences, holder, image_of, pin_of, promised
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from server import Resource, Server
from tiny import project

from dsvm.catalog import MANIFESTS, load
from dsvm.container.layouts import layout
from dsvm.ecosystems import Asked, Context, Offered, Request, bases
from dsvm.ecosystems.dnf import ecosystem as dnf
from dsvm.ecosystems.registered import system
from dsvm.ecosystems.repositories import Untrusted
from dsvm.host import Host
from dsvm.model import PLATFORMS, Base, GoneError, InputError, Key, LockError, Pin, Place, Repository, Section
from dsvm.model.bases import Bootstrap
from dsvm.store import Store, Want

pytestmark = archives.NEEDED
SCRIPTS = PLATFORMS["linux"].scripts
SUITE = "rocky/9/BaseOS/x86_64/os"


@dataclass(frozen=True)
class Packages:
    """What the archives of these tests hold, built once; vendor's own are signed each."""

    own: tuple[Path, ...]
    theirs: tuple[Path, ...]
    distribution: archives.Signer
    vendor: archives.Signer
    folder: Path

    @property
    def mirror(self) -> Path:
        return self.folder / "mirror"

    @property
    def base(self) -> Path:
        """The rpm database of the base that these tests begin with."""
        return self.folder / "base"

    def rpm(self, name: str) -> Path:
        return next(path for path in (*self.own, *self.theirs) if path.name.startswith(f"{name}-"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("rpms")
    distribution, vendor = archives.Signer(folder / "d"), archives.Signer(folder / "v")
    make = partial(archives.rpm, folder)
    own = (
        make("bash", "5.1", Provides="/bin/sh"),
        *(make(name, arch="noarch") for name in ("findutils", "python3", "rpm")),
        make("common", "1.0"),
        make("hello", "1:2.0-3.el9", Requires=["common >= 1.0", "words"], Recommends="extra"),
        make("words", arch="noarch"),
        make("extra"),
        make("enemy", Conflicts="common"),
        make("lonely", Requires="nothing-has-this"),
    )
    sign = partial(make, signer=vendor)
    theirs = (
        sign("vtool", "1:3.0", Requires=["vlib >= 2", "common"]),
        sign("vlib", "2.0"),
        sign("hello", "9.0"),
        sign("other", "1.0"),
    )
    packages = Packages(own, theirs, distribution, vendor, folder)
    archives.publish(packages.mirror / SUITE, own, distribution)
    (packages.mirror / "rocky/KEY").write_text(distribution.armored)
    archives.publish(packages.mirror / "vendor/nine", theirs, vendor)
    (packages.mirror / "vendor/nine/key.asc").write_text(vendor.armored)
    archives.database(packages.base, [packages.rpm("bash"), packages.rpm("common")])
    return packages


@dataclass(frozen=True)
class World:
    """A distribution with `hello` and `common`, and a vendor's repository with `vtool`, `vlib` and a newer `hello`."""

    folder: Path
    packages: Packages
    context: Context

    @property
    def mirror(self) -> Path:
        return self.folder / "mirror"

    @property
    def vendor(self) -> Path:
        return self.mirror / "vendor/nine"

    def with_repository(self, *, fresh: bool = False, **changes: object) -> Context:
        values = {**self.context.repositories["vendor"].model_dump(), **changes}
        work = self.folder / "work-again" if fresh else self.context.work
        work.mkdir(exist_ok=True)
        return replace(self.context, work=work, repositories={"vendor": Repository.model_validate(values)})

    def with_archive(self, **changes: object) -> Context:
        bootstrap = self.context.base.bootstrap
        assert bootstrap is not None
        changed = Bootstrap.model_validate({**bootstrap.model_dump(), **changes})
        return replace(self.context, base=self.context.base.model_copy(update={"bootstrap": changed}))


@pytest.fixture
def world(tmp_path: Path, packages: Packages) -> World:
    mirror = shutil.copytree(packages.mirror, tmp_path / "mirror")
    key = Key(urls=("KEY",), fingerprint=packages.distribution.fingerprint)
    own = {"bootstrap": Bootstrap(suites=(SUITE,), key=key), "repositories": ()}
    base = project().bases["rocky-9"].model_copy(update=own)
    repository = Repository(
        repository="vendor",
        summary="A vendor",
        uri=f"file://{mirror}/vendor",
        key=Key(urls=("key.asc",), fingerprint=packages.vendor.fingerprint),
        places=(Place(base=("rocky-9",), path="nine"),),
        packages=("vtool", "vl*"),
    )
    (tmp_path / "work").mkdir()
    context = Context(
        base=base,
        host=Host(
            environ={"HOME": str(tmp_path)}, sources={"rocky": (f"file://{mirror}/rocky",)}, etc=tmp_path / "etc"
        ),
        store=Store(tmp_path / "store"),
        work=tmp_path / "work",
        repositories={"vendor": repository},
        base_status=str(packages.base),
    )
    return World(tmp_path, packages, context)


def resolve(here: Context, *packages: str, repositories: Sequence[str] = ("vendor",)) -> dict[str, Pin]:
    request = TypeAdapter(dnf.ECOSYSTEM.request_type).validate_python(list(packages))
    asked = Request("system", "system", (request,), repositories=tuple(repositories))
    pins, extra = dnf.ECOSYSTEM.resolve(asked, here)
    assert beyond("dnf", asked, here, pins, extra) == []
    assert extra == {}
    assert [pin.name for pin in pins] == sorted(pin.name for pin in pins)
    return {pin.name: pin for pin in pins}


def section_of(pins: Iterable[Pin], epoch: int) -> Section:
    return Section(id="system", ecosystem="dnf", request=None, input="0" * 64, epoch=epoch, pins=tuple(pins))


def refused(here: Context, *words: str) -> None:
    """Probing stops, rather than go on to the tool's next source; the message says all `words`."""
    with pytest.raises(Untrusted) as caught:
        dnf.ECOSYSTEM.probe(("vtool",), "vendor", here)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert not [word for word in words if word not in caught.value.message], caught.value.message


# --- what comes from where ---------------------------------------------------------------------------------


def test_pins_say_what_the_signed_metadata_say_and_name_no_place(world: World) -> None:
    pins = resolve(world.context, "hello")
    assert {name: (pin.version, pin.registry) for name, pin in pins.items()} == {
        "findutils": ("1.0-1", "rocky"),  # what installing works with
        "hello": ("1:2.0-3.el9", "rocky"),  # and not the vendor's 9.0, which its manifest does not name
        "words": ("1.0-1", "rocky"),  # without what is only recommended, and what the base has
    }
    file = world.mirror / SUITE / "Packages/hello-2.0-3.el9.x86_64.rpm"
    assert pins["hello"].file == "9/BaseOS/x86_64/os/Packages/hello-2.0-3.el9.x86_64.rpm"
    assert pins["hello"].size == file.stat().st_size
    assert pins["hello"].sha256 == world.context.store.add(file)[0]
    assert list(dnf.ECOSYSTEM.locate(pins["hello"], world.context)) == [f"file://{file}"]
    assert not any(str(world.folder) in str(pin) for pin in pins.values())


def test_a_repository_s_packages_are_locked_under_its_name_and_found_again(world: World) -> None:
    here = world.context
    assert dnf.ECOSYSTEM.probe(("vtool",), "vendor", here) is None
    pins = resolve(here, "vtool", "hello")
    assert {name: (pin.version, pin.registry) for name, pin in pins.items() if pin.registry == "vendor"} == {
        "vlib": ("2.0-1", "vendor"),
        "vtool": ("1:3.0-1", "vendor"),
    }
    assert pins["vtool"].file == "Packages/vtool-3.0-1.x86_64.rpm"
    wants = [
        Want(pin.filename, pin.sha256, pin.size, partial(dnf.ECOSYSTEM.locate, pin, here)) for pin in pins.values()
    ]
    assert here.store.fetch(wants, host=here.host).fetched == 5


def test_a_base_s_own_repositories_need_not_be_named(world: World) -> None:
    base = world.context.base.model_copy(update={"repositories": ("vendor",)})
    here = replace(world.context, base=base)
    assert dnf.ECOSYSTEM.probe(("vtool",), None, here) is None
    assert resolve(here, "vtool", repositories=())["vtool"].registry == "vendor"


def test_a_repository_nobody_named_gives_nothing(world: World) -> None:
    assert dnf.ECOSYSTEM.probe(("vtool",), None, world.context) == f"vtool: not in {SUITE}"
    with pytest.raises(LockError, match=f"^system: vtool: not in {SUITE}\n"):
        resolve(world.context, "vtool", repositories=())


def test_a_package_that_no_manifest_lets_in_cannot_be_had(world: World) -> None:
    fault = f"nothing, other: not in {SUITE}, and repository 'vendor' lets in no such package"
    assert dnf.ECOSYSTEM.probe(("hello", "other", "nothing"), "vendor", world.context) == fault
    with pytest.raises(LockError, match=r"(?s)no solution for system.*vlib-2\.0-1\.x86_64 is filtered out"):
        resolve(world.with_repository(packages=["vtool"], fresh=True), "vtool")


def test_what_a_manifest_names_wins_over_the_distribution_s_own(world: World) -> None:
    assert resolve(world.with_repository(packages=["hell?"]), "hello")["hello"].version == "9.0-1"


def test_what_named_packages_need_may_come_where_that_is_said(world: World) -> None:
    here = world.with_repository(packages=["vtool"], needs=True)
    assert {name: pin.registry for name, pin in resolve(here, "vtool", "hello").items() if name != "findutils"} == {
        "vtool": "vendor",
        "vlib": "vendor",
        "hello": "rocky",
        "words": "rocky",
    }
    with pytest.raises(LockError, match="other: it would come from repository 'vendor'") as caught:
        resolve(here, "vtool", "other")
    assert "vlib" not in caught.value.message
    assert "packages" in caught.value.hint


def test_a_base_without_a_place_falls_through(world: World) -> None:
    here = world.with_repository(places=[{"base": "rocky-8", "path": "nine"}])
    assert dnf.ECOSYSTEM.probe(("vtool",), "vendor", here) == "repository 'vendor' has no place for rocky-9"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lonely", "nothing provides nothing-has-this"),
        ("enemy", "conflicts with common"),
    ],
)
def test_what_cannot_be_beside_the_base_is_said(world: World, name: str, words: str) -> None:
    with pytest.raises(LockError, match=f"(?s)system.*{words}") as caught:
        resolve(world.context, name)
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_what_takes_a_package_s_place_must_be_asked_for_by_its_own_name(world: World) -> None:
    eater = archives.rpm(world.folder, "eater", Obsoletes=["common", "words"])
    archives.publish(world.mirror / SUITE, [eater], world.packages.distribution)
    with pytest.raises(LockError, match="system: it would take common out of base rocky-9"):
        resolve(world.context, "eater")
    empty = world.with_repository(fresh=True)
    bash = archives.database(world.folder / "bash", [world.packages.rpm("bash")])
    with pytest.raises(LockError, match="system: words: another package has taken its place") as caught:
        resolve(replace(empty, base_status=str(bash)), "words")
    assert "eater" in caught.value.hint


def test_a_package_of_the_base_is_pinned_only_when_it_moves(world: World) -> None:
    assert "common" not in resolve(world.context, "common", "hello")
    newer = archives.rpm(world.folder, "common", "1.1")
    archives.publish(world.mirror / SUITE, [newer], world.packages.distribution)
    assert resolve(world.with_repository(fresh=True), "common")["common"].version == "1.1-1"


def test_other_architectures_are_passed_over(world: World) -> None:
    foreign = archives.rpm(world.folder, "hello", "8.0", arch="i686")
    archives.publish(world.mirror / SUITE, [foreign], world.packages.distribution)
    assert resolve(world.context, "hello")["hello"].version == "1:2.0-3.el9"


MODULES = """\
---
document: modulemd
version: 2
data:
  name: base
  stream: "16"
  version: 1
  context: aaaa
  arch: x86_64
  summary: base
  description: base
  license: {module: [MIT]}
  artifacts: {rpms: ["sql-0:16.0-1.x86_64"]}
"""


def test_a_module_s_stream_brings_its_packages(world: World) -> None:
    both = [archives.rpm(world.folder, "sql", version) for version in ("13.0", "16.0")]
    archives.publish(world.mirror / SUITE, both, world.packages.distribution, modules=MODULES.replace("base", "sql", 1))
    assert resolve(world.context, "sql")["sql"].version == "13.0-1"
    assert resolve(world.context, "@sql:16", "sql")["sql"].version == "16.0-1"
    with pytest.raises(LockError, match=r"(?s)no solution for system.*sql:99"):
        resolve(world.context, "@sql:99", "sql")
    assert dnf.ECOSYSTEM.package(("@sql:16", "sql", "hello")) == "sql"


# --- keys and signatures -----------------------------------------------------------------------------------


def test_another_key_than_the_manifest_s_is_refused_and_both_are_shown(world: World) -> None:
    wanted = world.packages.distribution.fingerprint
    here = world.with_repository(key={"urls": ["key.asc"], "fingerprint": wanted})
    refused(here, "repository 'vendor'", wanted, world.packages.vendor.fingerprint, "key.asc")


def test_an_expired_key_is_refused_with_its_date(world: World) -> None:
    short = archives.Signer(world.folder / "s", "seconds=1")
    (world.vendor / "key.asc").write_text(short.armored)
    time.sleep(1.2)
    here = world.with_repository(key={"urls": ["key.asc"], "fingerprint": short.fingerprint})
    refused(here, short.fingerprint, "expired on 20")


def test_metadata_signed_by_another_key_are_refused(world: World) -> None:
    world.packages.distribution.sign(world.vendor / "repodata/repomd.xml")
    refused(world.context, "repository 'vendor': it is not signed by the key that its manifest names", "GPG")


def test_of_several_keys_only_the_named_one_counts(world: World) -> None:
    both = world.packages.distribution.armored + world.packages.vendor.armored
    (world.vendor / "key.asc").write_text(both)
    assert resolve(world.context, "vtool")
    world.packages.distribution.sign(world.vendor / "repodata/repomd.xml")
    refused(world.with_repository(fresh=True), "not signed by the key")


def test_metadata_without_a_signature_or_with_a_changed_word_are_refused(world: World) -> None:
    listing = world.vendor / "repodata/repomd.xml"
    listing.write_text(listing.read_text().replace("<revision>", "<revision>1"))
    refused(world.context, "not signed by the key")
    Path(f"{listing}.asc").unlink()
    refused(world.with_repository(fresh=True), "not signed by the key", "signature is not available")


def test_metadata_other_than_the_signed_ones_fall_through(world: World) -> None:
    (listing,) = (world.vendor / "repodata").glob("*-primary.xml.gz")
    listing.write_bytes(bytes(reversed(listing.read_bytes())))
    fault = dnf.ECOSYSTEM.probe(("vtool",), "vendor", world.context)
    assert fault is not None
    assert fault.startswith("repository 'vendor' cannot be read: ")


@pytest.fixture
def unsigned(world: World) -> Context:
    """The vendor signs each package, and no metadata."""
    (world.vendor / "repodata/repomd.xml.asc").unlink()
    key = {"urls": ["key.asc"], "fingerprint": world.packages.vendor.fingerprint, "signs": "packages"}
    return world.with_repository(key=key)


def test_where_metadata_are_not_signed_each_package_is_looked_at(unsigned: Context) -> None:
    pins = resolve(unsigned, "vtool", "hello")
    assert {name for name, pin in pins.items() if unsigned.store.has(pin.sha256)} == {"vtool", "vlib"}


def test_a_package_signed_by_another_key_or_by_none_is_refused(world: World, unsigned: Context) -> None:
    path = world.vendor / "Packages/vlib-2.0-1.x86_64.rpm"
    plain = archives.rpm(world.folder, "vlib", "2.0")
    for signer in (None, world.packages.distribution):
        shutil.copy(plain, path)
        if signer is not None:
            signer.sign_package(path)
        archives.publish(world.vendor, [], None)
        work = world.folder / f"work-{signer is None}"
        work.mkdir()
        with pytest.raises(Untrusted, match=r"packages are not signed by the key that its manifest names") as caught:
            resolve(replace(unsigned, work=work), "vtool")
        assert "vlib-2.0-1.x86_64.rpm: digests SIGNATURES NOT OK" in caught.value.message
        assert "vtool" not in caught.value.message


def test_the_archive_s_own_key_is_compared_too(world: World) -> None:
    vendor = world.packages.vendor.fingerprint
    with pytest.raises(Untrusted, match=f"archive 'rocky': its manifest names the key {vendor}"):
        resolve(world.with_archive(key={"urls": ["KEY"], "fingerprint": vendor}), "hello")


def test_a_keyring_of_the_machine_serves_as_well(world: World) -> None:
    ring = world.folder / "RPM-GPG-KEY"
    bootstrap = Bootstrap.model_construct(suites=(SUITE,), components=(), key=None, include=(), keyring=str(ring))
    here = replace(world.context, base=world.context.base.model_copy(update={"bootstrap": bootstrap}))
    with pytest.raises(LockError, match="no such keyring"):
        resolve(here, "hello")
    ring.write_text(world.packages.distribution.armored)
    assert resolve(here, "hello")["hello"].registry == "rocky"


# --- out of reach ------------------------------------------------------------------------------------------


def test_an_unreachable_repository_is_passed_over_with_the_reason(world: World) -> None:
    here = world.with_repository(uri="http://127.0.0.1:9/repository")
    fault = dnf.ECOSYSTEM.probe(("vtool",), "vendor", here)
    assert fault is not None
    assert fault.startswith("repository 'vendor': its key cannot be had: ")
    # the distribution's own packages are still to be had
    assert resolve(here, "hello", repositories=())["hello"].registry == "rocky"


def test_an_archive_that_this_machine_does_not_know_says_how_to_name_it(world: World) -> None:
    here = replace(world.context, host=Host(environ={"HOME": str(world.folder)}, etc=world.folder / "etc"))
    with pytest.raises(LockError, match="rocky: this host knows no mirror of it") as caught:
        resolve(here, "hello")
    assert "rocky: URL" in caught.value.hint


def serve(server: Server, folder: Path, at: str = "") -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            server.add(f"{at}/{path.relative_to(folder)}", Resource(path.read_bytes()))


def test_over_http_and_by_the_machine_s_own_proxy(world: World, server: Server) -> None:
    serve(server, world.mirror / "rocky", "/rocky")
    serve(server, world.mirror / "vendor", "/vendor")
    host = replace(world.context.host, sources={"rocky": (f"{server.url}/rocky",)})
    here = replace(world.with_repository(uri=f"{server.url}/vendor"), host=host)
    pins = resolve(here, "vtool", "hello")
    seen = len(server.requests)
    assert dnf.ECOSYSTEM.probe(("vlib",), "vendor", here) is None
    assert len(server.requests) == seen, "metadata are read once"
    wants = [
        Want(pin.filename, pin.sha256, pin.size, partial(dnf.ECOSYSTEM.locate, pin, here)) for pin in pins.values()
    ]
    assert here.store.fetch(wants, host=host).fetched == 5
    # dnf's own configuration of this host says by which way; of everything else in it nothing counts
    (world.folder / "etc/dnf").mkdir(parents=True)
    (world.folder / "etc/dnf/dnf.conf").write_text("[main]\nproxy=http://127.0.0.1:9\nexcludepkgs=hello\n")
    work = world.folder / "work-proxy"
    work.mkdir()
    seen = len(server.requests)
    with pytest.raises(LockError, match="archive 'rocky' cannot be read: "):
        resolve(replace(here, work=work), "hello", repositories=())
    assert not [one for one in server.requests[seen:] if "repodata" in one.path]


def test_a_repository_that_lacks_what_it_lists_is_gone(world: World) -> None:
    pin = resolve(world.context, "vtool")["vtool"]
    (world.vendor / pin.file).unlink()
    want = Want(pin.filename, pin.sha256, pin.size, partial(dnf.ECOSYSTEM.locate, pin, world.context))
    with pytest.raises(GoneError, match=pin.filename):
        world.context.store.fetch([want], host=world.context.host)


def test_packages_known_by_another_digest_cannot_be_locked(world: World) -> None:
    archives.publish(world.vendor, [], world.packages.vendor, checksum="sha1")
    with pytest.raises(LockError, match="repository 'vendor': it knows packages by their sha1 only"):
        resolve(world.context, "vtool")


# --- the base ----------------------------------------------------------------------------------------------


def test_a_base_of_packages_counts_as_installed(world: World) -> None:
    empty = replace(world.context, base_status="")
    pins, _ = dnf.ECOSYSTEM.resolve(Request("base", "base", (("common",),)), empty)
    assert [pin.name for pin in pins] == ["common", "findutils"]
    status = dnf.ECOSYSTEM.status(pins, empty)
    assert dnf.ECOSYSTEM.packages(status) == {"common": "1.0-1", "findutils": "1.0-1"}
    assert set(resolve(replace(empty, base_status=status), "hello")) == {"hello", "words"}


def test_a_registry_image_s_database_is_read_wherever_it_is(world: World) -> None:
    made = Path(world.context.base_status)
    for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm"):
        files = {f"{folder}/{path.name}": path.read_bytes() for path in made.iterdir() if path.name == "rpmdb.sqlite"}
        status = dnf.ECOSYSTEM.image_status(files, world.context)
        assert dnf.ECOSYSTEM.packages(status) == {"bash": "5.1-1", "common": "1.0-1"}
    with pytest.raises(LockError, match=r"holds no /var/lib/rpm/rpmdb\.sqlite"):
        dnf.ECOSYSTEM.image_status({}, world.context)


def test_it_is_an_ecosystem_that_bases_are_made_of() -> None:
    assert system(project().bases["rocky-9"]).name == "dnf"
    with pytest.raises(LockError, match="ecosystem 'winget' makes no bases") as caught:
        system(project().bases["windows-2022"])
    assert "apt, dnf" in caught.value.hint


def test_a_base_that_neither_registry_nor_archive_gives_says_why(world: World) -> None:
    sources = {"docker": ("http://127.0.0.1:9",)}
    host = Host(environ={"HOME": str(world.folder)}, sources=sources, etc=world.folder / "etc")
    here = replace(world.context, host=host, base_status="")
    with pytest.raises(LockError, match=r"^base rocky-9 cannot be had: rockylinux/rockylinux@sha256:\w+: ") as caught:
        bases.resolve(here)
    assert "nor can it be made from packages: rocky: this host knows no mirror of it" in caught.value.message
    assert "rocky: URL" in caught.value.hint


def test_a_base_is_made_of_locked_packages_and_the_same_twice(world: World) -> None:
    if os.geteuid() != 0:
        pytest.skip("a base of packages takes the rights of root")
    archive = world.with_archive(include=["hello"])
    base = archive.base.model_copy(update={"image": None})
    here = replace(archive, base=base, base_status="")
    resolved = bases.resolve(here)
    names = ["bash", "common", "findutils", "hello", "python3", "rpm", "words"]
    assert (resolved.kind, [pin.name for pin in resolved.pins]) == ("bootstrap", names)
    section = section_of(resolved.pins, 1_700_000_000)
    made = []
    for number in (1, 2):
        store = Store(world.folder / f"store-{number}")
        for pin in resolved.pins:
            store.add(world.mirror / "rocky" / pin.file)
        kept = replace(here, store=store)
        log = world.folder / "log"
        made_in, digest = layout(base, "bootstrap", section, kept, log=log, echo=lambda line: None)
        made.append(digest)
        time.sleep(1.1)
    assert made[0] == made[1]
    manifest = json.loads((made_in / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    config = json.loads((made_in / "blobs/sha256" / manifest["config"]["digest"].removeprefix("sha256:")).read_text())
    assert config["history"][0]["created_by"] == "rpm rocky-9"
    held = bases._files_of_layers(made_in, manifest, dnf.ECOSYSTEM.status_files)
    status = dnf.ECOSYSTEM.image_status(held, here)
    assert dnf.ECOSYSTEM.packages(status) == {pin.name: pin.version for pin in resolved.pins}
    with tarfile.open(made_in / "blobs/sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")) as tar:
        members = {member.name: member for member in tar}
    assert "./opt/hello/README" in members
    assert not [name for name, member in members.items() if member.isdev() or member.mtime > section.epoch]


def test_of_several_layers_the_last_word_counts(tmp_path: Path) -> None:
    files: list[dict[str, bytes]] = [
        {"./etc/a": b"1", "etc/b": b"1", "etc/c": b"1"},
        {"etc/a": b"2", "etc/.wh.b": b"", "other": b"x"},
    ]
    manifest: dict[str, list[dict[str, str]]] = {"layers": []}
    for number, layer in enumerate(files):
        blob = tmp_path / f"blobs/sha256/{number}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(blob, "w:gz" if number else "w") as tar:
            for name, content in layer.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if number else "")
        manifest["layers"].append({"digest": f"sha256:{number}", "mediaType": kind})
    assert bases._files_of_layers(tmp_path, manifest, ("etc/a", "etc/b", "etc/c", "etc/d")) == {
        "etc/a": b"2",
        "etc/c": b"1",
    }


# --- what is there -----------------------------------------------------------------------------------------


def test_what_is_installed_is_read_whole() -> None:
    def run(argv: object) -> str:
        return "git\t0:2.43-1.el9\nbash\t1:5.1-2\ngpg-pubkey\t0:350d275d-6279\nkernel\t0:2-1\nkernel\t0:1-1\n"

    assert dnf.ECOSYSTEM.installed(None, run) == {  # type: ignore[arg-type]
        "git": "2.43-1.el9",
        "bash": "1:5.1-2",
        "kernel": "1-1 2-1",
    }


@pytest.mark.parametrize(
    "request_",
    [[], [""], ["-x"], ["a b"], ["git;id"], ["git*"], ["/bin/sh"], ["@sql:16"], ["@sql"], ["a\n"], ["@group"]],
)
def test_only_package_names_are_requests(request_: list[str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(dnf.ECOSYSTEM.request_type).validate_python(request_)


@pytest.mark.parametrize("name", ["gcc-c++", "R-core", "python3.12", "libstdc++", "NetworkManager", "compat_x", "7zip"])
def test_names_as_they_are_in_the_archive_are_requests(name: str) -> None:
    assert TypeAdapter(dnf.ECOSYSTEM.request_type).validate_python([name]) == (name,)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.from_regex(dnf.NAME, fullmatch=True, alphabet=st.characters(codec="ascii")), min_size=1, max_size=20)
)
def test_every_name_stands_for_itself(world: World, names: list[str]) -> None:
    """No pattern, no file, no version, no option: what no package is called is unknown under its own name."""
    wanted = sorted({name for name in names if name not in ("hello", "bash", "common", "words", "extra", "rpm")})
    fault = dnf.ECOSYSTEM.probe(("hello", *wanted), None, world.context)
    assert fault == (f"{', '.join(wanted)}: not in {SUITE}" if wanted else None)


def test_a_base_names_only_repositories_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    text = (MANIFESTS / "bases/rocky-9.yaml").read_text()
    (tmp_path / "bases/rocky-9.yaml").write_text(text.replace("[epel]", "[eppel]"))
    with pytest.raises(InputError, match=r"rocky-9\.yaml:\d+: unknown repository 'eppel' \(did you mean 'epel'\?\)"):
        load([tmp_path])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keyring": "/usr/share/keyrings/x.gpg"}, "exactly one of 'keyring' and 'key'"),
        ({"key": None}, "exactly one of 'keyring' and 'key'"),
        ({"key": {"urls": ["x"], "fingerprint": "0" * 40, "signs": "nothing"}}, "key.signs"),
        ({"include": ["a b"]}, "include"),
    ],
)
def test_an_archive_says_its_key_in_one_way(changes: dict[str, object], words: str) -> None:
    good = {"suites": [SUITE], "key": {"urls": ["KEY"], "fingerprint": "0" * 40}, "include": ["R-core"]}
    Bootstrap.model_validate(good)
    with pytest.raises(ValidationError, match=words):
        Bootstrap.model_validate({**good, **changes})


def rpm_bases() -> Iterator[Base]:
    yield from (base for base in project().bases.values() if base.ecosystem == "dnf")


def test_every_base_of_it_says_its_archive_and_key() -> None:
    assert list(rpm_bases())
    for base in rpm_bases():
        assert base.bootstrap is not None
        assert base.bootstrap.key is not None
        for name in base.repositories:
            repository = project().repositories[name]
            assert repository.place(base.base) is not None


# --- installing: the script that runs in builds, in a system of its own ------------------------------------

ENTER = """
mount --make-rprivate /
mount --bind /usr "$1/usr" && mount -o remount,bind,ro "$1/usr"
mount --rbind /dev "$1/dev"
mount --bind /proc "$1/proc"
exec chroot "$@"
"""
POST = """
%post
echo "made on $(date +%s%N)" | tee /var/log/worker.log /etc/machine-id > /etc/group-
echo "[sneaked]" > /etc/yum.repos.d/sneaked.repo
echo worked > /opt/worked
"""


def system_of(folder: Path, status: Path) -> Path:
    """A folder with what a system needs beside this host's /usr; `status` says what it holds."""
    for name in ("dev", "etc/yum.repos.d", "opt", "proc", "root", "tmp", "usr", "var/lib", "var/log", "var/tmp"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / name).symlink_to(f"usr/{name}")
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\n")
    (folder / "root/.rpmmacros").write_text("%_dbpath /var/lib/rpm\n")  # where Rocky has it
    shutil.copytree(status, folder / "var/lib/rpm")
    shutil.copytree(SCRIPTS, folder / "dsvm/bin")
    subprocess.run(["find", folder, "-exec", "touch", "--no-dereference", "--date=@1000000000", "{}", "+"], check=True)
    return folder


def inside(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    words = ["unshare", "--mount", "--fork", "sh", "-euc", ENTER, "sh", str(root), *argv]
    env = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def root(tmp_path: Path, packages: Packages) -> Path:
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("a system of its own takes the rights of root")
    return system_of(tmp_path / "root", packages.base)


def put(root: Path, pins: Iterable[Pin], store: Store, section: str = "system") -> None:
    store.tree(root / "dsvm/store" / section, {dnf.ECOSYSTEM.file_name(pin): pin.sha256 for pin in pins})


def files_of(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder with its mode, its time and its content."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not name.startswith(("dsvm", "usr", "proc", "dev")):
            content = bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            stat = path.lstat()
            found[name] = (stat.st_mode, int(stat.st_mtime), content)
    return found


def test_from_lock_to_an_installed_system_twice_the_same(world: World, root: Path) -> None:
    files = {"/etc/yum.repos.d/own.repo": "[own]\n", "/opt/worker": "#!/bin/sh\n"}
    worker = archives.rpm(world.folder, "worker", files=files, scripts=POST)
    archives.publish(world.mirror / SUITE, [worker], world.packages.distribution)
    pins = resolve(world.context, "worker", "hello", "vtool")
    here = world.context
    wants = [
        Want(pin.filename, pin.sha256, pin.size, partial(dnf.ECOSYSTEM.locate, pin, here)) for pin in pins.values()
    ]
    here.store.fetch(wants, host=here.host)
    base = dnf.ECOSYSTEM.packages(here.base_status)
    section = section_of(pins.values(), int(time.time()))
    step = dnf.ECOSYSTEM.install(section, here.base)
    roots = [root, system_of(world.folder / "again", world.packages.base)]
    for one in roots:
        put(one, pins.values(), here.store)
        done = inside(one, f"/dsvm/bin/{step.script}", *step.args)
        assert done.returncode == 0, done.stdout + done.stderr
        time.sleep(1.1)
    found = dnf.ECOSYSTEM.installed(section, lambda argv: inside(root, *argv).stdout)
    assert found == {**base, **{pin.name: pin.version for pin in pins.values()}}
    assert (root / "opt/worked").read_text() == "worked\n"
    assert [path.name for path in (root / "etc/yum.repos.d").iterdir()] == ["own.repo"]
    assert not list((root / "var/log").iterdir())
    assert (root / "etc/machine-id").read_text() == ""
    first, second = map(files_of, roots)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    times = inside(root, "rpm", "-qa", "--queryformat", "%{INSTALLTIME} %{INSTALLTID}\\n").stdout.split()
    assert set(times) == {str(section.epoch)}


def test_a_package_that_is_there_already_is_no_fault(world: World, root: Path) -> None:
    """A build stage begins with what a runtime's brought."""
    pins = resolve(world.context, "hello", repositories=())
    world.context.store.add(world.packages.rpm("common"))
    for pin in pins.values():
        world.context.store.add(world.mirror / "rocky" / pin.file)
    put(root, pins.values(), world.context.store)
    for _ in range(2):
        done = inside(root, "/dsvm/bin/install-dnf", "--epoch", str(int(time.time())), "system")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", ["%post\nexit 3", "%pre\nexit 3"])
def test_a_package_whose_script_fails_ends_the_build(world: World, root: Path, script: str) -> None:
    path = archives.rpm(world.folder, "bad", scripts=script)
    (root / "dsvm/store/system").mkdir(parents=True)
    shutil.copy(path, root / "dsvm/store/system")
    done = inside(root, "/dsvm/bin/install-dnf", "--epoch", str(int(time.time())), "system")
    assert done.returncode != 0
    assert "scriptlet failed" in done.stdout + done.stderr


# --- rpm's database ----------------------------------------------------------------------------------------


def pinned(folder: Path, seconds: int) -> bytes:
    subprocess.run([SCRIPTS / "pin-rpmdb", folder, str(seconds)], check=True)
    assert [path.name for path in folder.iterdir()] == ["rpmdb.sqlite"]
    return (folder / "rpmdb.sqlite").read_bytes()


def test_two_databases_of_one_system_become_the_same(tmp_path: Path, packages: Packages) -> None:
    rpms = [packages.rpm("hello"), packages.rpm("common"), packages.rpm("words")]
    folders = []
    for name in ("first", "second"):
        folders.append(archives.database(tmp_path / name, rpms))
        time.sleep(1.1)
    rpm = ["rpm", "--define", f"_dbpath {folders[0]}"]
    query = [*rpm, "-qa", "--queryformat", "%{NAME} %{INSTALLTIME} %{INSTALLTID}\\n"]
    before = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    held = dnf.ECOSYSTEM.packages(str(folders[0]))
    assert pinned(folders[0], 1_700_000_000) == pinned(folders[1], 1_700_000_000)
    after = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    assert "1700000000" not in before
    assert sorted(after.splitlines()) == [f"{name} 1700000000 1700000000" for name in ("common", "hello", "words")]
    assert dnf.ECOSYSTEM.packages(str(folders[0])) == held
    by_time = subprocess.run([*rpm, "-q", "--tid", "1700000000"], capture_output=True, text=True, check=True).stdout
    assert len(by_time.split()) == 3, "the index of install times says the same"
    verified = subprocess.run([*rpm, "-V", "--nofiles", "hello"], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout


def test_a_database_is_read_without_rpm_as_rpm_reads_it(packages: Packages) -> None:
    (file,) = packages.base.glob("rpmdb.sqlite")
    # what rpm has not moved from its log yet, only rpm reads: an image has no log
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    read = dnf.ECOSYSTEM.recorded("/var/lib/rpm/rpmdb.sqlite", file.read_bytes(), None)
    found = {one.name: one.version for one in read}
    assert found == dnf.ECOSYSTEM.packages(str(packages.base)) and found


# --- what is newer -----------------------------------------------------------------------------------------


def test_what_the_archive_has_now_is_offered(world: World) -> None:
    request = Request("system", "system", (("hello", "vtool"),), repositories=("vendor",))
    here = replace(world.context, base_status="")
    section = section_of(dnf.ECOSYSTEM.resolve(request, here)[0], 1)
    newer = archives.rpm(world.folder / "newer", "hello", "1:2.0-10.el9", Requires="common")
    newest = archives.rpm(world.folder / "newer", "words", "2.0", arch="noarch", Requires="nothing-has-this")
    archives.publish(world.mirror / SUITE, [*world.packages.own, newer], world.packages.distribution)

    def offers(name: str) -> Mapping[str, Offered]:
        again = replace(here, work=world.folder / name)
        again.work.mkdir()
        return dnf.ECOSYSTEM.offered(section, Asked(request, here.base), again)

    found = offers("second")
    # by numbers, with the epoch; the vendor's hello 9.0 is not let in
    assert (found["hello"].newest, found["hello"].again) == ("1:2.0-10.el9", "1:2.0-10.el9")
    assert (found["vtool"].newest, found["vtool"].again) == ("1:3.0-1", "1:3.0-1")
    for path in (world.mirror / SUITE).rglob("hello-*.rpm"):
        path.unlink()
    archives.publish(world.mirror / SUITE, [newest], world.packages.distribution)
    found = offers("third")
    assert (found["hello"].newest, found["hello"].words) == (None, "no repository has it any more")
    assert (found["words"].newest, found["words"].again) == ("2.0-1", None)


# --- the files of packages ------------------------------------------------------------------------------------

SPEC = """
Name: files
Version: 1.0
Release: 1
Summary: test
License: MIT
AutoReqProv: no
%description
test
%install
cp -a TREE/. %{buildroot}/
%files
%attr(4755,root,root) /usr/bin/switch
/usr/bin/link
/usr/share/files
%config(noreplace) /etc/files.conf
%config %verify(not md5 size mtime) /etc/files.list
%ghost /etc/files.cache
%attr(640,root,nobody) /etc/files.secret
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="rpm installs into a root of its own: needs root")
def test_every_file_of_a_package_is_explained_by_its_header(tmp_path: Path) -> None:
    tree, root = tmp_path / "tree", tmp_path / "root"
    files = ("usr/bin/switch", "usr/share/files/data", "etc/files.conf", "etc/files.list", "etc/files.cache")
    for name in (*files, "etc/files.secret"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{name}\n")
    (tree / "usr/bin/link").symlink_to("switch")
    (tree / "usr/share/files/empty").mkdir()
    (tmp_path / "files.spec").write_text(SPEC.replace("TREE", str(tree)))
    where = ("--define", f"_topdir {tmp_path}/top", "--define", f"_rpmdir {tmp_path}/out")
    build = ("rpmbuild", "-bb", "--quiet", *where, *archives.PLAIN, tmp_path / "files.spec")
    subprocess.run(build, check=True, capture_output=True)
    (path,) = (tmp_path / "out").glob("*.rpm")
    install = (
        "rpm",
        "--root",
        root,
        "--define",
        "_dbpath /var/lib/rpm",
        "--install",
        "--nodeps",
        "--nosignature",
        path,
    )
    subprocess.run(install, check=True, capture_output=True)
    section = section_of([pin_of(path, "files", "rocky")], 0)
    image, promises = image_of(root), promised(section, {"files": path})
    assert differences(image, promises) == []
    assert "/etc/files.cache" not in image

    def after(path: str, **changes: object) -> list[tuple[str, str]]:
        return differences({**image, path: (image[path][0]._replace(**changes), 0)}, promises)  # type: ignore[arg-type]

    for name in ("/usr/bin/switch", "/usr/share/files/data"):
        assert after(name, sha256="0" * 64) == [("changed", name)]
    assert after("/usr/bin/link", target="sh") == [("changed", "/usr/bin/link")]
    assert after("/etc/files.list", sha256="0" * 64, size=9) == [], "its packager says that it will change"
    assert after("/usr/bin/switch", mode=0o755) == [("mode", "/usr/bin/switch")]
    assert after("/etc/files.secret", mode=0o644) == [("mode", "/etc/files.secret")]
    assert after("/etc/files.secret", gid=12345) == [], "a group's number is each system's own"
    assert after("/etc/files.secret", uid=1) == [("owner", "/etc/files.secret")]
    for name in ("/usr/share/files/empty", "/usr/bin/switch"):
        gone = {place: one for place, one in image.items() if place != name}
        assert ("missing", name) in differences(gone, promises)
    assert differences({**image, "/usr/lib/evil": image["/usr/bin/switch"]}, promises) == [
        ("unexplained", "/usr/lib/evil")
    ]


@pytest.mark.parametrize("cut", [0, 50, 96, 200, 700])
def test_a_package_that_breaks_off_has_no_files(cut: int, packages: Packages, tmp_path: Path) -> None:
    path = tmp_path / "x.rpm"
    path.write_bytes(packages.rpm("hello").read_bytes()[:cut])
    with pytest.raises(LockError, match=r"x\.rpm: no RPM package"):
        list(holder("dnf").contents(pin_of(path, "x", "rocky"), path, ""))
