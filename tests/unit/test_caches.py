"""Caches of layers in registries: how BuildKit is asked for them, and what is said of those that fail."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest
import tiny

from dsvm import pipeline
from dsvm.container.progress import BuildProgress
from dsvm.model import InputError
from dsvm.plan import make_plan
from dsvm.session import LayerCaches
from dsvm.session.views import Silent

PLACE = "registry.example/team/cache"
READ = f"importing cache manifest from {PLACE}:a"


def test_each_variant_has_a_tag_of_its_own_unless_one_is_named() -> None:
    caches = LayerCaches((PLACE, f"{PLACE}:other", "localhost:5000/x"), PLACE)
    assert caches.imports("cpu") == (
        f"type=registry,ref={PLACE}:cache-cpu",
        f"type=registry,ref={PLACE}:other",
        "type=registry,ref=localhost:5000/x:cache-cpu",
    )
    (one,) = caches.exports("cpu", "compression=zstd")
    assert one.startswith(f"type=registry,ref={PLACE}:cache-cpu,mode=max,") and one.endswith(",compression=zstd")
    assert LayerCaches().exports("cpu", "") == LayerCaches().imports("cpu") == ()


@pytest.mark.parametrize(
    ("sources", "target", "said"),
    [
        (["https://user:secret@registry.example/x"], None, "--cache-from: "),
        ([PLACE], "cache", "--cache-to: 'cache' names nothing"),
        ([PLACE], "", "--cache-to: "),
        ([f"{PLACE},mode=min"], None, "--cache-from: "),
        ([f"{PLACE}@sha256:{'0' * 64}"], None, "a digest does not"),
    ],
)
def test_what_names_no_cache_is_refused(sources: Sequence[str], target: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        pipeline.layer_caches(sources, target)
    assert "secret" not in str(caught.value)


def failing(name: str, error: str) -> str:
    moment = "2026-11-27T00:00:00Z"
    vertex = {"digest": "sha256:1", "name": name, "started": moment, "completed": moment, "error": error}
    return json.dumps({"vertexes": [vertex]}) + "\n"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        (READ, f"failed: {PLACE}:a: not found", f"{PLACE}:a: there is no cache yet"),
        (READ, "dial tcp: refused", f"{PLACE}:a: the cache cannot be read"),
        ("exporting cache to registry", "405 Method Not Allowed", "the cache is not written"),
        ("exporting cache to registry", "GET https://ci:secret@registry.example/ 401", "https://ci:***@registry.example"),
    ],
)  # fmt: skip
def test_a_cache_that_fails_is_no_failure_of_the_build(name: str, error: str, said: str) -> None:
    view = Silent().build("a build")
    progress = BuildProgress(make_plan(tiny.catalog(), tiny.lock()), view)
    progress.follow([failing(name, error)], log := io.StringIO())
    (fault,) = progress.cache_faults
    assert said in fault and "secret" not in fault + log.getvalue()
    assert progress.failed is None and {one.state for one in progress.stages.values()} == {"waiting"}


def test_what_fails_otherwise_still_fails() -> None:
    progress = BuildProgress(make_plan(tiny.catalog(), tiny.lock()), Silent().build("a build"))
    progress.follow([failing("exporting to image", "no space")], io.StringIO())
    assert progress.cache_faults == [] and progress.failed == ("export", "no space")
