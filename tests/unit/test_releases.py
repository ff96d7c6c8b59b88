"""Releases: sent once, named last, taken back in one step, and cleared away without a hole."""

from __future__ import annotations

import datetime
import json
import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_world import DAY, REPOSITORY, World, days, needed
from saved_images import archive_of

from dsvm.host import find_engine
from dsvm.model import (
    Descriptor,
    EngineError,
    ImageIndex,
    InputError,
    Manifest,
    RegistryError,
    Release,
    digest_of_bytes,
    is_release_name,
    release_order,
)
from dsvm.release import Keep, Registry, empty_config, kept_by_time, pull_size, send_image, signature_tag

# --- publishing ----------------------------------------------------------------------------------------------


def test_a_release_is_there_whole_and_named(either: World) -> None:
    one, two = either.candidate("cpu", "a", "b"), either.candidate("gpu", "a", "c")
    done = either.publish(one, two)
    assert done.release.name == "20261126" and done.release.digests == {"cpu": one.image, "gpu": two.image}
    assert {tag for tag, digest in either.tags.items() if digest == one.image} == {
        "cpu-20261126", "cpu-nightly", "cpu-latest", f"cpu-lock-{one.lock[:12]}",
    }  # fmt: skip
    assert {either.tags[tag] for tag in ("20261126", "nightly", "latest")} == {done.index.digest}
    kinds = {found.artifact_type for found in either.home.registry.referrers(one.image)}
    assert kinds == {"application/vnd.cyclonedx+json", "application/vnd.dsvm.lock.v1+json"}
    assert [(switch.channel, switch.old) for switch in done.switched] == [("nightly", None), ("latest", None)]
    entry = json.loads(either.server[REPOSITORY].manifests[done.index.digest][1])["manifests"][0]
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}


def test_the_same_again_sends_nothing_and_names_nothing(either: World) -> None:
    candidate = either.candidate("cpu", "a")
    done = either.publish(candidate)
    before = len(either.server.requests("PUT|POST"))
    again = either.publish(candidate, today=DAY + datetime.timedelta(days=3))
    assert again.index == done.index and again.sent == 0
    assert len(either.server.requests("PUT", "blobs")) == len(either.server.requests("POST"))
    assert not [one for one in either.server.requests("PUT|POST")[before:] if not one.path.endswith(done.index.digest)
                and "manifests/sha256:" not in one.path]  # fmt: skip


def test_a_changed_layer_is_all_that_is_sent(either: World) -> None:
    either.publish(either.candidate("cpu", "a", "b"))
    before = len(either.server.requests("PUT", "blobs"))
    done = either.publish(either.candidate("cpu", "a", "c"))
    sent = {one.path for one in either.server.requests("PUT", "blobs")[before:]}
    new = either.home.registry.image(done.release.digests["cpu"])[1]
    assert done.sent == new.layers[-1].size + new.config.size
    lock = digest_of_bytes(either.candidate("cpu", "a", "c").attachments[1].data)
    digests = {re.search(r"digest=sha256%3A(\w+)", path)[1] for path in sent}  # type: ignore[index]
    assert digests == {one.removeprefix("sha256:") for one in (new.layers[-1].digest, new.config.digest, lock)}


@pytest.mark.parametrize("how", ["graph", "old"])
def test_an_engine_that_unpacks_layers_has_them_packed_always_alike(
    how: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fake.info["DriverStatus"] = []
    engine = find_engine()
    made = world.image("a", "b", "a", how=how)
    registry = world.home.registry
    sent = send_image(made.id, engine, registry, world.folder)
    assert sent.manifest.config.digest == made.id
    assert {one.media_type for one in sent.manifest.layers} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    from backports import zstd

    unpacked = [digest_of_bytes(zstd.decompress(registry.blob(one))) for one in sent.manifest.layers]
    assert tuple(unpacked) == made.diff_ids
    again = send_image(made.id, engine, registry, world.folder)
    assert again.image == sent.image and again.sent == {}
    # on another machine, which remembers nothing
    other = send_image(made.id, engine, registry, world.folder / "other")
    assert other.image == sent.image and other.sent == {}


def test_an_image_that_is_damaged_in_the_engine_is_not_sent(world: World) -> None:
    made = world.image("a")
    world.fake.saved[made.id] = made.archive.replace(b"12\n12\n", b"13\n12\n", 1)
    with pytest.raises(EngineError, match="damaged in the engine"):
        send_image(made.id, world.engine, world.home.registry, world.folder)
    other = world.image("b")
    world.fake.saved[made.id] = other.archive
    with pytest.raises(EngineError, match="another image"):
        send_image(made.id, world.engine, world.home.registry, world.folder)
    for members in ({}, {"manifest.json": b"[{}]"}, {"manifest.json": b'[{"Config": "x", "Layers": ["../../x"]}]'}):
        world.fake.saved[made.id] = archive_of(members)
        with pytest.raises(EngineError, match="no image"):
            send_image(made.id, world.engine, world.home.registry, world.folder)
    world.fake.saved[made.id] = b"no archive" * 100
    with pytest.raises(EngineError, match="no image"):
        send_image(made.id, world.engine, world.home.registry, world.folder)
    assert not list(world.folder.glob("dsvm-scratch-*"))


def test_variants_that_are_not_released_stay_unless_it_is_alone(world: World) -> None:
    one, two = world.candidate("cpu", "a"), world.candidate("gpu", "b")
    world.publish(one, two)
    new = world.candidate("cpu", "c")
    done = world.publish(new, today=DAY + datetime.timedelta(days=1))
    assert world.names("nightly") == {"cpu": new.image, "gpu": two.image}
    assert {one.variant: one.since for one in done.release.images} == {"cpu": "20261127", "gpu": "20261126"}
    world.publish(world.candidate("cpu", "d"), alone=True)
    assert set(world.names("nightly")) == {"cpu"}


def test_what_no_channel_names_yet_can_be_promoted_and_loses_nothing(world: World) -> None:
    one, two = world.candidate("cpu", "a"), world.candidate("gpu", "b")
    world.publish(one, two)
    new = world.candidate("cpu", "c")
    done = world.publish(new, channels=())
    assert world.names("latest") == {"cpu": one.image, "gpu": two.image} and not done.switched
    world.home.promote(done.release.name, ["latest"])
    assert world.names("latest") == {"cpu": new.image, "gpu": two.image}


def test_two_that_release_at_once_do_so_one_after_the_other(world: World) -> None:
    """From one machine; neither loses what the other brings."""
    arrived = threading.Event()
    world.server.meanwhile = [lambda method, path: arrived.set()]
    one, two = world.candidate("cpu", "a"), world.candidate("gpu", "b")
    first = threading.Thread(target=world.publish, args=(one,))
    first.start()
    arrived.wait(10)
    world.publish(two)
    first.join()
    assert world.names("latest") == {"cpu": one.image, "gpu": two.image}
    assert any(line.startswith(f"{world.home.registry}: waiting for") for line in world.said)


def test_a_second_release_of_a_day_has_a_name_of_its_own(world: World) -> None:
    names = [world.publish(world.candidate("cpu", text)).release.name for text in "abc"]
    assert names == ["20261126", "20261126-2", "20261126-3"] == world.home.names()


def test_a_clock_that_went_back_is_said_and_confuses_nobody(world: World) -> None:
    world.publish(world.candidate("cpu", "a"))
    done = world.publish(world.candidate("cpu", "b"), today=DAY - datetime.timedelta(days=400))
    assert done.release.name == "20261126-2"
    assert any("is this clock right?" in line for line in world.said)
    world.home.rollback("cpu")
    assert world.home.release("latest").name == "20261126"  # type: ignore[union-attr]


def test_what_is_signed_is_there_and_has_no_name_yet(world: World) -> None:
    candidate = world.candidate("cpu", "a")
    seen: list[Any] = []

    def seal(registry: Any, subjects: Any) -> None:
        seen.extend(subjects)
        assert all(registry.find(one.digest) for one in subjects)
        assert world.tags == {}

    done = world.publish(candidate, seal=seal)
    assert [one.digest for one in seen] == [candidate.image, done.index.digest]


# --- going back and forth ------------------------------------------------------------------------------------


def test_a_rollback_takes_all_variants_of_a_release_along(world: World) -> None:
    made = days(world, "a", "b", "c")
    switched = world.home.rollback("cpu")
    assert [(one.channel, one.old, one.new) for one in switched] == [
        ("nightly", "20261128", "20261127"),
        ("latest", "20261128", "20261127"),
    ]
    for channel in ("nightly", "latest"):
        assert world.names(channel) == made[1].release.digests
        assert world.tags[f"gpu-{channel}"] == made[1].release.digests["gpu"]
    world.home.rollback("gpu")
    assert world.names("latest") == made[0].release.digests
    with pytest.raises(InputError, match="no release of cpu before 20261126"):
        world.home.rollback("cpu")
    world.home.rollback("cpu", "2026-11-28", ["nightly"])
    assert (world.names("nightly"), world.names("latest")) == (made[2].release.digests, made[0].release.digests)
    world.home.promote("nightly", ["latest"])
    assert world.names("latest") == made[2].release.digests


@pytest.mark.parametrize(
    ("variant", "to", "words"),
    [("cpu", "2026-11-01", "has no release"), ("tpu", None, "no channel names tpu"), ("cpu", "yesterday", "is no day"),
     ("cpu", "../x", "is no day")],
)  # fmt: skip
def test_a_rollback_to_nowhere_says_what_there_is(variant: str, to: str | None, words: str, world: World) -> None:
    days(world, "a", "b")
    before = dict(world.tags)
    with pytest.raises(InputError, match=words):
        world.home.rollback(variant, to)
    assert world.tags == before


def test_nobody_goes_back_to_what_has_holes(world: World) -> None:
    made = days(world, "a", "b")
    old = world.home.registry.image(made[0].release.digests["gpu"])[1]
    del world.server[REPOSITORY].blobs[old.layers[-1].digest]
    before = dict(world.tags)
    with pytest.raises(RegistryError, match="is not there"):
        world.home.rollback("cpu")
    assert world.tags == before


def test_a_repository_of_somebody_else_is_left_alone(world: World) -> None:
    made = world.image("x")
    sent = send_image(made.id, world.engine, world.home.registry, world.folder)
    world.home.registry.tag(sent.image.digest, "latest")
    with pytest.raises(RegistryError, match="it is no release of ours"):
        world.publish(world.candidate("cpu", "a"))
    assert set(world.tags) == {"latest"}


def move(world: World, tag: str, digest: str, before: str) -> None:
    """Somebody moves a tag in the moment before the first request that matches METHOD PATH."""
    moved: list[bool] = []

    def one(method: str, path: str) -> None:
        if re.search(before, f"{method} {path}") and not moved:
            moved.append(True)
            world.server[REPOSITORY].tags[tag] = digest

    world.server.meanwhile = [one]


@pytest.mark.parametrize(
    "before", ["POST .*/uploads", r"PUT .*/manifests/20261127", "PUT .*/manifests/cpu-nightly", "PUT .*/gpu-latest"]
)
def test_a_channel_that_somebody_else_moves_is_not_overwritten(before: str, world: World) -> None:
    first, second = days(world, "a", "b")
    world.home.rollback("cpu")
    tags = dict(world.tags)
    move(world, "nightly", second.index.digest, before)
    with pytest.raises(RegistryError, match="nightly names sha256:") as caught:
        world.publish(world.candidate("cpu", "c"), world.candidate("gpu", "c"))
    assert "Somebody else moved it" in caught.value.hint
    now = world.tags
    assert now["nightly"] == second.index.digest and now["latest"] == first.index.digest
    assert {tag: digest for tag, digest in now.items() if tag in tags and tag != "nightly"} == {
        tag: digest for tag, digest in tags.items() if tag != "nightly"
    }


def test_a_variants_tag_that_names_what_is_of_no_release_is_not_overwritten(world: World) -> None:
    days(world, "a")
    sent = send_image(world.image("own").id, world.engine, world.home.registry, world.folder)
    world.home.registry.tag(sent.image.digest, "cpu-latest")
    before = world.tags["nightly"], world.tags["cpu-nightly"]
    with pytest.raises(RegistryError, match=r"cpu-latest names .*, which is of no release"):
        world.publish(world.candidate("cpu", "b"))
    assert (world.tags["nightly"], world.tags["cpu-nightly"]) == before
    assert world.tags["cpu-latest"] == sent.image.digest


def test_a_write_that_was_overtaken_is_noticed(world: World) -> None:
    first, second = days(world, "a", "b")
    move(world, "latest", first.index.digest, "GET .*/manifests/nightly$")
    world.server.meanwhile.clear()
    overtaken: list[bool] = []

    def after(method: str, path: str) -> None:
        if method == "PUT" and path.endswith("/manifests/latest") and not overtaken:
            overtaken.append(True)
            threading.Timer(0, lambda: None).start()
        elif overtaken == [True] and method == "GET" and path.endswith("/manifests/nightly"):
            overtaken.append(True)
            world.server[REPOSITORY].tags["latest"] = first.index.digest

    world.server.meanwhile = [after]
    with pytest.raises(RegistryError, match=r"latest names sha256:.* and not what was written"):
        world.publish(world.candidate("cpu", "c"))
    assert world.tags["latest"] == first.index.digest, "theirs was left alone"
    assert world.tags["nightly"] == second.index.digest, "ours went back"


# --- bad days ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "skip"), [(401, 0), (403, 4), (405, 9), (507, 13)])
def test_a_registry_that_refuses_in_mid_push_moves_nothing(status: int, skip: int, world: World) -> None:
    """It refuses the n-th write, and takes what is put back."""
    days(world, "a", "b")
    before = dict(world.tags)
    world.server.trouble("PUT", status=status, skip=skip)
    with pytest.raises(RegistryError, match=str(status)) as caught:
        world.publish(world.candidate("cpu", "c"), world.candidate("gpu", "c"), today=DAY)
    assert caught.value.hint
    assert {tag: digest for tag, digest in world.tags.items() if tag in before} == before


@pytest.mark.parametrize("status", [429, 500, 0])
def test_a_registry_that_stumbles_is_published_to_all_the_same(status: int, world: World) -> None:
    for skip in range(0, 20, 4):
        world.server.trouble("PUT|POST|GET|HEAD", status=status, skip=skip, headers={"Retry-After": "0"})
    done = world.publish(world.candidate("cpu", "a"))
    assert world.names("latest") == done.release.digests


def test_an_answer_that_was_lost_does_no_harm(world: World) -> None:
    """It has done what was asked for, and says that it has not."""
    for skip in range(0, 20, 2):
        world.server.trouble("PUT", status=503, skip=skip, late=True, headers={"Retry-After": "0"})
    done = world.publish(world.candidate("cpu", "a"))
    assert world.names("nightly") == done.release.digests and world.home.names() == ["20261126"]


# --- what may go ---------------------------------------------------------------------------------------------

NAMES = st.dates(datetime.date(2024, 1, 1), datetime.date(2026, 12, 31)).map(lambda day: f"{day:%Y%m%d}")


@given(st.sets(NAMES, max_size=60), st.integers(0, 10), st.integers(0, 6), st.integers(0, 6))
def test_what_is_kept_covers_days_weeks_and_months(names: set[str], daily: int, weekly: int, monthly: int) -> None:
    kept = kept_by_time(names, Keep(daily, weekly, monthly))
    assert kept.keys() <= names
    newest_first = sorted(names, key=release_order, reverse=True)
    assert set(newest_first[: max(daily, 1)]) <= kept.keys()
    for count, of in ((weekly, lambda name: _date(name).isocalendar()[:2]), (monthly, lambda name: name[:6])):
        periods = list(dict.fromkeys(map(of, newest_first)))[:count]
        assert {of(name) for name in kept} >= set(periods)
    assert len(kept) <= max(daily + weekly + monthly, 1)


def _date(name: str) -> datetime.date:
    return datetime.datetime.strptime(name[:8], "%Y%m%d").date()


def test_what_is_old_goes_and_nothing_else(either: World) -> None:
    days(either, "a", "b", "c", "d", "e")
    either.home.rollback("cpu", "20261127", ["latest"])
    registry = either.home.registry
    foreign = registry.image(either.tags["cpu-20261128"])[0]
    registry.tag(foreign.digest, "for-a-colleague")
    before = dict(either.tags)
    keep = Keep(2, 0, 0)
    doomed = either.home.doomed(keep)
    assert doomed.releases == ("20261126", "20261128")
    assert doomed.kept == {"20261130": "nightly", "20261129": "daily", "20261127": "latest"}
    assert either.tags == before, "asking deletes nothing"
    assert doomed.size > 0
    either.home.collect(keep)
    assert {tag for tag in before if tag not in either.tags} == {
        "20261126", "cpu-20261126", "gpu-20261126", "20261128", "gpu-20261128",
        *(tag for tag, digest in before.items() if "lock" in tag and digest in
          {before["cpu-20261126"], before["gpu-20261126"], before["gpu-20261128"]}),
    }  # fmt: skip
    assert either.tags["for-a-colleague"] == foreign.digest
    needed(either)
    assert either.home.doomed(keep).documents == ()
    hexes = {digest[7:] for digest in either.server[REPOSITORY].manifests}
    assert all(tag[7:71] in hexes for tag in either.server[REPOSITORY].tags if tag.startswith("sha256-"))


def test_what_the_same_image_in_a_younger_release_needs_stays(either: World) -> None:
    """Of gpu nothing changed for three days."""
    gpu = either.candidate("gpu", "same")
    for number, text in enumerate("abc"):
        either.publish(either.candidate("cpu", text), gpu, today=DAY + datetime.timedelta(days=number))
    either.home.collect(Keep(1, 0, 0))
    assert either.home.names() == ["20261128"]
    needed(either)


def test_signatures_go_and_stay_with_what_they_are_of(either: World) -> None:
    def seal(registry: Registry, subjects: Sequence[Descriptor]) -> None:
        config = empty_config(registry)
        for one in subjects:
            text = f"signed {one.digest}".encode()
            registry.upload(text, digest_of_bytes(text), len(text))
            layer = Descriptor(media_type="text/plain", digest=digest_of_bytes(text), size=len(text))
            registry.put(Manifest(config=config, layers=[layer]), tag=signature_tag(one.digest))

    made = [
        either.publish(either.candidate("cpu", text), today=DAY + datetime.timedelta(days=number), seal=seal)
        for number, text in enumerate("abc")
    ]
    either.home.collect(Keep(1, 0, 0))
    signed = {f"sha256:{tag[7:71]}" for tag in either.home.registry.tags() if tag.endswith(".sig")}
    assert signed == {made[2].index.digest, made[2].release.digests["cpu"]}


def test_a_registry_that_deletes_nothing_is_said(world: World) -> None:
    days(world, "a", "b")
    world.server.deletes = False
    with pytest.raises(RegistryError, match="it deletes nothing") as caught:
        world.home.collect(Keep(1, 0, 0))
    assert "has to allow that" in caught.value.hint


def test_an_index_that_calls_ours_its_own_is_obeyed(world: World) -> None:
    """Never what an index names, whoever wrote that."""
    made = days(world, "a", "b")
    old = world.home.registry.pull(made[0].release.digests["cpu"])
    world.home.registry.put(ImageIndex(manifests=(old.descriptor,)), tag="theirs")
    world.home.collect(Keep(1, 0, 0))
    assert world.home.registry.compare("theirs") and "cpu-20261126" in world.tags and "gpu-20261126" not in world.tags


# --- sizes ---------------------------------------------------------------------------------------------------


def test_what_a_machine_fetches_is_counted_from_manifests(world: World) -> None:
    days(world, "a", "b")
    place = f"{world.server.host}/{REPOSITORY}"
    asked = len(world.server.asked)
    found = pull_size(f"{place}:20261126", f"{place}:nightly", world.host, "cpu")
    manifest = world.home.registry.image(world.names("nightly")["cpu"])[1]
    assert found.bytes == manifest.layers[-1].size + manifest.config.size and found.layers == 1
    assert found.all_bytes == sum(one.size for one in manifest.blobs) and found.all_layers == 2
    assert not [one for one in world.server.asked[asked:] if "blobs" in one.path]
    same = pull_size(f"{place}:cpu-latest", f"{place}@{world.tags['cpu-nightly']}", world.host)
    assert (same.bytes, same.layers) == (0, 0)
    with pytest.raises(InputError, match="a release of cpu, gpu"):
        pull_size(f"{place}:20261126", f"{place}:nightly", world.host)
    with pytest.raises(InputError, match="a release without tpu"):
        pull_size(f"{place}:20261126", f"{place}:nightly", world.host, "tpu")


# --- the index -----------------------------------------------------------------------------------------------


def test_a_release_reads_back_as_it_was_written(world: World) -> None:
    (done,) = days(world, "a")
    found = world.home.release("20261126")
    assert found == done.release and found.index.data == done.release.index.data


def _spoil(document: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    changed = json.loads(json.dumps(document))
    place = changed
    for one in path[:-1]:
        place = place[one]
    place[path[-1]] = to
    return dict(changed)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("artifactType",), "application/vnd.other+json"),
        (("annotations", "org.dsvm.release"), "20261399"),
        (("annotations", "org.dsvm.release"), "../../x"),
        (("manifests",), []),
        (("manifests", 0, "annotations", "org.dsvm.variant"), "a b"),
        (("manifests", 0, "annotations", "org.dsvm.variant"), "gpu"),
        (("manifests", 0, "annotations", "org.dsvm.lock"), "x"),
        (("manifests", 0, "annotations"), None),
    ],
)
def test_an_index_that_is_no_release_is_none(path: tuple[Any, ...], to: Any, world: World) -> None:
    (done,) = days(world, "a")
    document = _spoil(done.release.index.written(), *path, to=to)
    with pytest.raises(ValueError) as caught:
        Release.of(ImageIndex.model_validate(document))
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="0123456789-", max_size=14))
@settings(max_examples=200)
def test_only_days_are_names_of_releases(text: str) -> None:
    if is_release_name(text):
        assert release_order(text)[0] == int(text[:8]) and _date(text)


def test_a_manifest_is_no_release(world: World) -> None:
    (done,) = days(world, "a")
    with pytest.raises(RegistryError, match="it is no release of ours"):
        world.home.release(done.release.digests["cpu"])
    assert isinstance(world.home.registry.pull(done.release.digests["cpu"]).document, Manifest)
