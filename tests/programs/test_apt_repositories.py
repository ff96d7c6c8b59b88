"""Repositories beside the base's own: real archives in a folder, signed with real keys, read by the real apt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import apt_archive as archives
import pytest
from beyond import beyond
from debian.deb822 import Deb822
from debian.debian_support import Version
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pysequoia import Tsk
from server import Resource, Server

from dsvm.catalog import load
from dsvm.ecosystems import Asked, Context, Request, repositories
from dsvm.ecosystems.apt import ecosystem as apt
from dsvm.ecosystems.apt import repositories as apt_repositories
from dsvm.ecosystems.repositories import Untrusted
from dsvm.host import Host
from dsvm.model import Key, LockError, Pin, Place, Repository, Section
from dsvm.model.bases import Bootstrap
from dsvm.store import Store, Want


@dataclass(frozen=True)
class World:
    """A distribution with `hello` and `common`, and a vendor's repository with `hello`, `vtool` and `vlib`."""

    folder: Path
    distribution: Tsk
    vendor: Tsk
    context: Context

    @property
    def mirror(self) -> Path:
        return self.folder / "mirror"

    def with_repository(self, **changes: object) -> Context:
        values = {**self.context.repositories["vendor"].model_dump(), **changes}
        return replace(self.context, repositories={"vendor": Repository.model_validate(values)})


@pytest.fixture
def world(tmp_path: Path) -> World:
    debs, mirror = tmp_path / "debs", tmp_path / "mirror"
    distribution, vendor = archives.new_key("Distribution"), archives.new_key("Vendor")
    hello = archives.deb(debs, "hello")
    archives.publish(mirror / "debian", [hello, archives.deb(debs, "common")], distribution, suite="bookworm")
    theirs = [
        archives.deb(debs, "vtool", "1:2.0+b1", Depends="vlib (>= 2), common"),
        archives.deb(debs, "vlib", "2.0"),
        archives.deb(debs, "hello", "9.0"),
    ]
    archives.publish(mirror / "vendor/twelve", theirs, vendor, suite="/", origin="Vendor")
    archives.write_key(mirror / "vendor/twelve/key.asc", [vendor], armored=True)
    ring = archives.write_key(tmp_path / "ring.gpg", [distribution])
    return World(tmp_path, distribution, vendor, context(tmp_path, ring, vendor))


def context(folder: Path, ring: Path, vendor: Tsk) -> Context:
    bootstrap = Bootstrap.model_construct(
        suites=("debian/bookworm",), components=("main",), keyring=str(ring), include=()
    )
    repository = Repository(
        repository="vendor",
        summary="A vendor",
        uri=f"file://{folder}/mirror/vendor",
        key=Key(urls=("key.asc",), fingerprint=archives.fingerprint(vendor)),
        places=(Place(base=("debian-12",), path="twelve", suite="/"),),
        packages=("vtool", "vl*"),
    )
    host = Host(
        environ={"HOME": str(folder)}, sources={"debian": (f"file://{folder}/mirror/debian",)}, etc=folder / "etc"
    )
    (folder / "work").mkdir()
    return Context(
        base=load().bases["debian-12"].model_copy(update={"bootstrap": bootstrap}),
        host=host,
        store=Store(folder / "store"),
        work=folder / "work",
        repositories={"vendor": repository},
    )


def resolve(here: Context, *packages: object, repositories: Sequence[str] = ("vendor",)) -> dict[str, Pin]:
    request = TypeAdapter(apt.ECOSYSTEM.request_type).validate_python(list(packages))
    asked = Request("system", "system", (request,), repositories=tuple(repositories))
    pins, extra = apt.ECOSYSTEM.resolve(asked, here)
    assert beyond("apt", asked, here, pins, extra) == []
    return {pin.name: pin for pin in pins}


def refused(here: Context, *words: str) -> None:
    """Probing stops, rather than go on to the next source, and resolving does too; the message says all `words`."""
    for ask in (lambda: apt.ECOSYSTEM.probe(("vtool",), "vendor", here), lambda: resolve(here, "vtool")):
        with pytest.raises(Untrusted) as caught:
            ask()
        assert caught.value.exit_code == 3
        assert caught.value.hint
        assert not [word for word in words if word not in caught.value.message], caught.value.message


# --- what comes from where ---------------------------------------------------------------------------------


def test_packages_are_locked_under_the_repository_s_name_and_found_again(world: World) -> None:
    here = world.context
    assert apt.ECOSYSTEM.probe(("vtool",), "vendor", here) is None
    pins = resolve(here, "vtool", "hello")
    assert {name: (pin.version, pin.registry) for name, pin in pins.items()} == {
        "common": ("1.0", "debian"),
        "hello": ("1.0", "debian"),  # the vendor's 9.0 is not what its manifest names
        "vlib": ("2.0", "vendor"),
        "vtool": ("1:2.0+b1", "vendor"),
    }
    assert not any(str(world.folder) in str(pin) for pin in pins.values()), "a lock names no place"
    wants = [
        Want(pin.filename, pin.sha256, pin.size, partial(apt.ECOSYSTEM.locate, pin, here)) for pin in pins.values()
    ]
    assert here.store.fetch(wants, host=here.host).fetched == 4


def test_the_users_own_configuration_names_another_place(world: World) -> None:
    away = world.mirror / "elsewhere"
    (world.mirror / "vendor").rename(away)
    host = replace(world.context.host, sources={**world.context.host.sources, "vendor": (f"file://{away}",)})
    here = replace(world.context, host=host)
    pin = resolve(here, "vtool")["vtool"]
    assert list(apt.ECOSYSTEM.locate(pin, here)) == [f"file://{away}/twelve/{pin.file}"]


def test_a_repository_nobody_named_gives_nothing(world: World) -> None:
    fault = apt.ECOSYSTEM.probe(("vtool",), None, world.context)
    assert fault == "vtool: not in debian/bookworm"
    with pytest.raises(LockError, match="Unable to locate package vtool"):
        resolve(world.context, "vtool", repositories=())


def test_a_package_that_the_manifest_does_not_name_cannot_be_had(world: World) -> None:
    here = world.with_repository(packages=["vtool"])
    assert apt.ECOSYSTEM.probe(("vlib",), "vendor", here) == (
        "vlib: not in debian/bookworm, and repository 'vendor' has no such package that its manifest lets in"
    )
    with pytest.raises(LockError, match=r"(?s)no solution for system.*vlib"):
        resolve(here, "vtool")


def test_a_base_without_a_place_falls_through(world: World) -> None:
    here = world.with_repository(places=[{"base": "ubuntu-24.04", "path": "twelve", "suite": "/"}])
    assert apt.ECOSYSTEM.probe(("vtool",), "vendor", here) == "repository 'vendor' has no place for debian-12"


def test_names_and_patterns_win_over_a_higher_version_elsewhere(world: World) -> None:
    """A repository's own build of what the distribution has too: chosen by name, not by version."""
    lower = archives.deb(world.folder / "debs", "common", "0.5")
    archives.publish(world.mirror / "vendor/twelve", [lower], world.vendor, suite="/", origin="Vendor")
    assert resolve(world.with_repository(packages=["comm?n"]), "common")["common"].version == "0.5"
    assert resolve(world.context, "common", repositories=())["common"].version == "1.0"


def test_versions_to_stay_at_stay_unless_something_forbids_it(world: World) -> None:
    debs = world.folder / "debs"
    newer = [archives.deb(debs, "common", "2.0"), archives.deb(debs, "needy", Depends="common (>= 2)")]
    old = [debs / "common_1.0_amd64.deb", debs / "hello_1.0_amd64.deb"]
    archives.publish(world.mirror / "debian", [*old, *newer], world.distribution, suite="bookworm")
    theirs = [debs / "vtool_1%3a2.0+b1_amd64.deb", debs / "vlib_2.0_amd64.deb", archives.deb(debs, "vlib", "3.0")]
    archives.publish(world.mirror / "vendor/twelve", theirs, world.vendor, suite="/", origin="Vendor")

    def resolved(*packages: str, **prefer: str) -> dict[str, str]:
        asked = Request("system", "system", (packages,), repositories=("vendor",), prefer=prefer)
        return {pin.name: pin.version for pin in apt.ECOSYSTEM.resolve(asked, world.context)[0]}

    assert resolved("vtool") == {"common": "2.0", "vlib": "3.0", "vtool": "1:2.0+b1"}
    stay = {"common": "1.0", "vlib": "2.0", "hello": "0.1"}
    assert resolved("vtool", "hello", **stay) == {"common": "1.0", "hello": "1.0", "vlib": "2.0", "vtool": "1:2.0+b1"}
    assert resolved("needy", "common", **stay) == {"common": "2.0", "needy": "1.0"}, "what is asked for counts more"


# --- another suite of the distribution itself --------------------------------------------------------------


@pytest.fixture
def old_suite(world: World) -> Context:
    """bullseye beside bookworm: julia with a library that only it has, a newer `hello`, and `other`."""
    debs = world.folder / "debs"
    published = [
        archives.deb(debs, "julia", "1.5", Depends="oldlib, hello"),
        archives.deb(debs, "oldlib", "0.1"),
        archives.deb(debs, "hello", "7.0"),
        archives.deb(debs, "other", "0.1"),
    ]
    archives.publish(world.mirror / "debian", published, world.distribution, suite="bullseye")
    repository = Repository(
        repository="debian-bullseye",
        summary="Debian 11",
        archive="debian",
        places=(Place(base=("debian-12",), suite="bullseye", components=("main",)),),
        packages=("julia",),
        needs=True,
    )
    return replace(world.context, repositories={"debian-bullseye": repository})


def test_from_another_suite_come_the_named_packages_and_what_they_need(old_suite: Context) -> None:
    pins = resolve(old_suite, "julia", repositories=("debian-bullseye",))
    assert {name: pin.version for name, pin in pins.items()} == {"julia": "1.5", "oldlib": "0.1", "hello": "1.0"}
    where = {name: pin.registry for name, pin in pins.items()}
    assert where == {"julia": "debian-bullseye", "oldlib": "debian-bullseye", "hello": "debian"}
    assert [url.rsplit("/debian/", 1)[1] for url in apt.ECOSYSTEM.locate(pins["julia"], old_suite)] == [
        "pool/julia_1.5_amd64.deb"
    ]


def test_another_suite_may_have_moved(world: World, old_suite: Context) -> None:
    """As Debian's do, to another archive, when they are old; a lock made before then finds its packages there."""
    before = resolve(old_suite, "julia", repositories=("debian-bullseye",))
    away = world.mirror / "archived"
    (away / "dists").mkdir(parents=True)
    (world.mirror / "debian/dists/bullseye").rename(away / "dists/bullseye")
    (away / "pool").symlink_to(world.mirror / "debian/pool")
    sources = {**old_suite.host.sources, "debian-bullseye": (f"file://{away}",)}
    here = replace(old_suite, work=_fresh(world), host=replace(old_suite.host, sources=sources))
    assert resolve(here, "julia", repositories=("debian-bullseye",)) == before
    assert list(apt.ECOSYSTEM.locate(before["julia"], here)) == [f"file://{away}/{before['julia'].file}"]
    assert next(iter(apt.ECOSYSTEM.locate(before["hello"], here))).startswith(f"file://{world.mirror}/debian/")


def test_what_nothing_named_needs_does_not_come_from_another_suite(old_suite: Context) -> None:
    with pytest.raises(LockError, match=r"other: it would come from repository 'debian-bullseye'") as caught:
        resolve(old_suite, "julia", "other", repositories=("debian-bullseye",))
    assert "oldlib" not in caught.value.message
    assert "packages" in caught.value.hint


# --- keys and signatures -----------------------------------------------------------------------------------


def test_another_key_than_the_manifest_s_is_refused_and_both_are_shown(world: World) -> None:
    wanted = archives.fingerprint(archives.new_key())
    here = world.with_repository(key={"urls": ["key.asc"], "fingerprint": wanted})
    refused(here, wanted, archives.fingerprint(world.vendor), "key.asc")


def test_a_page_in_place_of_a_key_is_refused(world: World) -> None:
    (world.mirror / "vendor/twelve/key.asc").write_text("<html>Please log in</html>")
    refused(world.context, "holds no OpenPGP key")


def test_an_expired_key_is_refused_with_its_date(world: World) -> None:
    short = archives.short_lived_key(1)
    archives.write_key(world.mirror / "vendor/twelve/key.asc", [short])
    time.sleep(1.2)
    fingerprint = archives.fingerprint(short)
    refused(world.with_repository(key={"urls": ["key.asc"], "fingerprint": fingerprint}), fingerprint, "expired on 20")


def test_of_several_keys_only_the_named_one_counts(world: World) -> None:
    """A file with a second key in it: what that one signs is not trusted."""
    second = archives.new_key("Second")
    archives.write_key(world.mirror / "vendor/twelve/key.asc", [second, world.vendor])
    assert resolve(world.context, "vtool")
    archives.sign_again(world.mirror / "vendor/twelve", second, "/")
    refused(replace(world.context, work=_fresh(world)), "not signed by the key", "NO_PUBKEY")


def test_a_repository_signed_by_another_key_is_refused(world: World) -> None:
    archives.sign_again(world.mirror / "vendor/twelve", archives.new_key("Thief"), "/")
    refused(world.context, "repository 'vendor'", "not signed by the key that its manifest names", "NO_PUBKEY")


def test_a_changed_release_file_is_refused(world: World) -> None:
    path = world.mirror / "vendor/twelve/InRelease"
    path.write_text(path.read_text().replace("Label: Vendor", "Label: Vandal"))
    refused(world.context, "not signed by the key")


def test_packages_other_than_the_signed_ones_fall_through(world: World) -> None:
    for name in ("Packages", "Packages.gz"):
        path = world.mirror / "vendor/twelve" / name
        path.write_bytes(bytes(reversed(path.read_bytes())))
    fault = apt.ECOSYSTEM.probe(("vtool",), "vendor", world.context)
    assert fault is not None
    assert fault.startswith("repository 'vendor' cannot be read: ")


def test_a_repository_that_calls_itself_debian_is_refused(world: World) -> None:
    debs = [archives.deb(world.folder / "debs", "vtool", "3.0")]
    ours = {"Suite": "bookworm", "Codename": "bookworm"}
    archives.publish(world.mirror / "vendor/twelve", debs, world.vendor, suite="/", origin="Debian", **ours)
    refused(world.context, "o=Debian, l=Debian, n=bookworm", "tell it from the distribution's own archive")


def test_a_repository_that_says_nothing_of_itself_is_told_by_its_host(world: World, server: Server) -> None:
    folder = world.mirror / "vendor/twelve"
    debs = [archives.deb(world.folder / "debs", name, "3.0") for name in ("vtool", "hello")]
    archives.publish(folder, debs, world.vendor, suite="/", origin="", Label="")
    assert "Origin" not in (folder / "InRelease").read_text()
    for path in folder.iterdir():
        server.add(f"/twelve/{path.name}", Resource(path.read_bytes()))
    here = world.with_repository(uri=server.url, packages=["vtool"])
    versions = {name: pin.version for name, pin in resolve(here, "vtool", "hello").items()}
    assert versions == {"vtool": "3.0", "hello": "1.0"}


# --- out of reach ------------------------------------------------------------------------------------------


def test_an_unreachable_repository_is_passed_over_with_the_reason(world: World) -> None:
    here = world.with_repository(uri="http://127.0.0.1:9/repository")
    fault = apt.ECOSYSTEM.probe(("vtool",), "vendor", here)
    assert fault is not None
    assert fault.startswith("repository 'vendor': its key cannot be had: ")
    assert "127.0.0.1" in fault
    with pytest.raises(LockError, match="its key cannot be had"):
        resolve(here, "vtool")
    # the distribution's own packages are still to be had
    assert resolve(here, "hello", repositories=())["hello"].version == "1.0"


def test_a_key_without_its_repository_is_passed_over(world: World, server: Server) -> None:
    server.add("/twelve/key.asc", Resource((world.mirror / "vendor/twelve/key.asc").read_bytes()))
    fault = apt.ECOSYSTEM.probe(("vtool",), "vendor", world.with_repository(uri=server.url))
    assert fault is not None
    assert fault.startswith("repository 'vendor' cannot be read: ")
    assert "does not have a Release file" in fault


def test_a_repository_over_http_and_its_key_at_a_second_place(world: World, server: Server) -> None:
    for path in (world.mirror / "vendor/twelve").iterdir():
        server.add(f"/twelve/{path.name}", Resource(path.read_bytes()))
    server.add("/second.gpg", Resource(archives.write_key(world.folder / "second.gpg", [world.vendor]).read_bytes()))
    key = {"urls": ["gone.asc", f"{server.url}/second.gpg"], "fingerprint": archives.fingerprint(world.vendor)}
    here = world.with_repository(uri=server.url, key=key)
    assert resolve(here, "vtool")["vtool"].registry == "vendor"
    assert server.seen("/twelve/gone.asc"), "a place without a scheme is below the repository's root"


def test_an_archive_that_this_machine_does_not_know_says_how_to_name_it(world: World) -> None:
    here = world.with_repository(uri=None, archive="cran")
    with pytest.raises(LockError, match="cran: this host knows no mirror") as caught:
        resolve(here, "vtool")
    assert "cran: URL" in caught.value.hint
    fault = apt.ECOSYSTEM.probe(("vtool",), "vendor", here)
    assert fault is not None
    assert "cran" in fault


def test_another_component_of_the_base_s_own_suite_is_told_from_it(world: World) -> None:
    """Debian's non-free, Ubuntu's restricted: one Release file says everything of both but the component."""
    debs = world.folder / "more-debs"
    main = [archives.deb(debs, "hello"), archives.deb(debs, "common")]
    closed = [archives.deb(debs, "driver", "535.1", Depends="blob, common"), archives.deb(debs, "hello", "9.0")]
    firmware = [archives.deb(debs, "blob", "535.1"), archives.deb(debs, "common", "9.0")]
    lists = {"main": main, "non-free": closed, "non-free-firmware": firmware}
    archives.publish_components(world.mirror / "debian", lists, world.distribution, suite="bookworm")
    place = {"base": ["debian-12"], "suite": "bookworm", "components": ["non-free", "non-free-firmware"]}
    changes = {"uri": None, "archive": "debian", "key": None, "places": [place], "packages": ["driver*"]}
    here = replace(world.with_repository(**changes, needs=True), work=_fresh(world))
    pins = resolve(here, "driver", "hello")
    assert {name: (pin.version, pin.registry) for name, pin in pins.items()} == {
        "driver": ("535.1", "vendor"),
        "blob": ("535.1", "vendor"),
        "common": ("1.0", "debian"),
        "hello": ("1.0", "debian"),
    }
    place["components"] = ["main"]
    again = world.folder / "work-thrice"
    again.mkdir()
    refused(replace(world.with_repository(**changes), work=again), "does not tell it from the distribution's")


def test_an_archive_s_folder_is_found_by_the_user_s_configuration(world: World) -> None:
    (world.mirror / "cran/bin").mkdir(parents=True)
    (world.mirror / "vendor/twelve").rename(world.mirror / "cran/bin/debian")
    sources = {**world.context.host.sources, "cran": (f"file://{world.mirror}/cran",)}
    place = {"base": ["debian-12"], "path": "bin/debian", "suite": "/"}
    here = replace(
        world.with_repository(uri=None, archive="cran", places=[place]),
        host=replace(world.context.host, sources=sources),
    )
    pin = resolve(here, "vtool")["vtool"]
    assert pin.registry == "vendor"
    assert list(apt.ECOSYSTEM.locate(pin, here)) == [f"file://{world.mirror}/cran/bin/debian/{pin.file}"]


def _fresh(world: World) -> Path:
    folder = world.folder / "work-again"
    folder.mkdir()
    return folder


# --- a package file with a URL -----------------------------------------------------------------------------


def test_a_deb_with_a_url_is_pinned_with_what_it_needs(world: World, server: Server) -> None:
    path = archives.deb(world.folder / "debs", "studio", "2026.07.1+147", Depends="common")
    url = server.add("/jammy/studio-2026.07.1-147-amd64.deb", Resource(path.read_bytes()))
    request = {"deb": url, "package": "studio"}
    pins = resolve(world.context, request, repositories=())
    assert {name: (pin.version, pin.registry) for name, pin in pins.items()} == {
        "studio": ("2026.07.1+147", "url"),
        "common": ("1.0", "debian"),
    }
    assert list(apt.ECOSYSTEM.locate(pins["studio"], world.context)) == [url]
    assert apt.ECOSYSTEM.file_name(pins["studio"]).endswith(".deb"), "what install-apt looks for"
    parsed = TypeAdapter(apt.ECOSYSTEM.request_type).validate_python([request])
    assert apt.ECOSYSTEM.package(parsed) == "studio"
    assert apt.ECOSYSTEM.probe(parsed, None, world.context) is None
    server.resources.clear()
    assert "HTTP 404" in str(apt.ECOSYSTEM.probe(parsed, None, world.context))


def test_a_deb_that_holds_something_else_is_refused(world: World, server: Server) -> None:
    path = archives.deb(world.folder / "debs", "studio", "1.0")
    url = server.add("/studio.deb", Resource(path.read_bytes()))
    with pytest.raises(LockError, match="holds the package studio, and the manifest says stadium"):
        resolve(world.context, {"deb": url, "package": "stadium"}, repositories=())
    page = server.add("/page.deb", Resource(b"<html>"))
    with pytest.raises(LockError, match="not a Debian package"):
        resolve(world.context, {"deb": page, "package": "studio"}, repositories=())
    with pytest.raises(LockError, match="lonely : Depends: nothing-has-this"):
        bad = archives.deb(world.folder / "debs", "lonely", "1.0", Depends="nothing-has-this")
        there = server.add("/lonely.deb", Resource(bad.read_bytes()))
        resolve(world.context, {"deb": there, "package": "lonely"}, repositories=())


def test_a_deb_with_another_digest_than_the_manifest_s_is_refused(world: World, server: Server) -> None:
    path = archives.deb(world.folder / "debs", "studio", "1.0")
    url = server.add("/studio.deb", Resource(path.read_bytes()))
    from dsvm.model import StoreError

    with pytest.raises(StoreError, match="0" * 64):
        resolve(world.context, {"deb": url, "package": "studio", "sha256": "0" * 64}, repositories=())


@pytest.mark.parametrize("url", ["ftp://x/y.deb", "http://x/y", "http://x/a b.deb", "http://x/'.deb", "x.deb", ""])
def test_only_urls_of_debs_are_requests(url: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(apt.ECOSYSTEM.request_type).validate_python([{"deb": url, "package": "x1"}])


# --- what a manifest may say -------------------------------------------------------------------------------

GOOD = {
    "repository": "vendor",
    "summary": "x",
    "uri": "https://vendor.test/debian",
    "key": {"urls": ["key.asc"], "fingerprint": "0" * 40},
    "places": [{"base": "debian-12", "suite": "stable", "components": ["main"]}],
    "packages": ["vtool"],
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"archive": "debian"}, "exactly one of 'uri' and 'archive'"),
        ({"uri": None}, "exactly one of 'uri' and 'archive'"),
        ({"key": None}, "has a 'key'"),
        ({"key": {"urls": ["x"], "fingerprint": "CEB3E94A"}}, "fingerprint"),
        ({"uri": "https://vendor.test/a b"}, "uri"),
        ({"uri": "https://vendor.test/[trusted=yes]"}, "uri"),
        ({"packages": []}, "packages"),
        ({"packages": ["*"]}, "packages"),
        ({"packages": ["x\nPin: release *"]}, "packages"),
        ({"places": [{"base": "debian-12", "suite": "stable"}]}, "components"),
        ({"places": [{"base": "debian-12", "suite": "./", "components": ["main"]}]}, "components"),
        ({"places": [{"base": "debian-12", "suite": "a b", "components": ["main"]}]}, "suite"),
        ({"places": [*GOOD["places"], *GOOD["places"]]}, "one place"),
        ({"priority": 500}, "priority"),
        ({"priority": 1001}, "priority"),
    ],
)
def test_a_wrong_repository_is_refused(changes: dict[str, object], words: str) -> None:
    assert Repository.model_validate(GOOD)
    with pytest.raises(ValidationError, match=words):
        Repository.model_validate({**GOOD, **changes})


def test_a_fingerprint_may_have_blanks_and_small_letters() -> None:
    key = Key(urls=("x",), fingerprint="bc52 8686 b50d 79e3 39d3 721c eb3e 94ad be12 29cf")
    assert key.fingerprint == "BC528686B50D79E339D3721CEB3E94ADBE1229CF"


WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
FIELDS = st.fixed_dictionaries({}, optional={"o": WORDS, "l": WORDS, "n": WORDS, "a": WORDS, "c": WORDS})


@given(FIELDS, st.lists(st.from_regex(r"[a-z0-9][a-z0-9+.*?-]+", fullmatch=True), min_size=1, max_size=3))
def test_whatever_a_repository_says_of_itself_preferences_stay_two_records(
    fields: dict[str, str], packages: list[str]
) -> None:
    repository = Repository.model_validate({**GOOD, "packages": packages})
    own = {**fields, "site": "https://vendor.test/debian"}
    pin = apt_repositories.release_pin(repository, own, [{"o": "Debian", "site": "https://mirror.test/debian"}])
    text = apt_repositories.preferences(repository, [pin, pin])
    records = list(Deb822.iter_paragraphs(text.splitlines(), use_apt_pkg=False))
    assert [(record["Package"].split(), record["Pin-Priority"]) for record in records] == [
        (packages, "600"),
        (["*"], "-1"),
    ]
    assert all(record.keys() == {"Package", "Pin", "Pin-Priority"} and record["Pin"] == pin for record in records)
    for value in fields.values():
        if "," in value or "*" in value or value.startswith("/"):
            assert f"={value}" not in pin


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reading_of_keys(data: bytes) -> None:
    assert isinstance(repositories.certificates(data), dict)
    assert repositories.certificates(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + data) == {}


def test_versions_with_an_epoch_keep_it(world: World) -> None:
    assert Version(resolve(world.context, "vtool")["vtool"].version).epoch == "1"


# --- what is newer -----------------------------------------------------------------------------------------


def test_what_the_archive_has_now_is_offered(world: World) -> None:
    request = Request("system", "system", (("hello", "common", "vtool"),), repositories=("vendor",))
    pins, _ = apt.ECOSYSTEM.resolve(request, world.context)
    section = Section(id="system", ecosystem="apt", request=None, input="0" * 64, epoch=1, pins=tuple(pins))
    debs = world.folder / "debs"
    archives.publish(
        world.mirror / "debian",
        [archives.deb(debs, "hello", "1:1.0~rc1-2+deb12u3")],
        world.distribution,
        suite="bookworm",
    )
    here = replace(world.context, work=world.folder / "again")
    offers = apt.ECOSYSTEM.offered(section, Asked(request, here.base), here)
    # the vendor's hello 9.0 is not let in; what is gone nobody offers, and then nothing can be locked again
    assert offers["hello"].newest == "1:1.0~rc1-2+deb12u3" and offers["vtool"].newest == "1:2.0+b1"
    assert (offers["common"].newest, offers["common"].words) == (None, "the archive has it no more")
    assert offers["hello"].again is None and "locking again finds no solution" in offers["hello"].words
    archives.publish(
        world.mirror / "debian",
        [debs / "hello_1%3a1.0~rc1-2+deb12u3_amd64.deb", debs / "common_1.0_amd64.deb"],
        world.distribution,
        suite="bookworm",
    )
    here = replace(world.context, work=world.folder / "third")
    offer = apt.ECOSYSTEM.offered(section, Asked(request, here.base), here)["hello"]
    assert (offer.newest, offer.again) == ("1:1.0~rc1-2+deb12u3", "1:1.0~rc1-2+deb12u3")
