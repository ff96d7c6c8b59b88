"""After `fetch` no build needs a network, and every build from one lock gives the same layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from workbench import (
    BIG,
    CUT_OFF,
    ROOT,
    ROOT_ONLY,
    SMALL,
    Catalog,
    Done,
    Invoke,
    docker,
    image,
    private_engine,
    run,
    short_folder,
)

from dsvm.container.buildkit import Built

PLAN = "org.dsvm.plan"


def same_layers(first: Mapping[str, Any], second: Mapping[str, Any], variant: str) -> None:
    """Two images of one plan have the same layers, but for those whose stage says why it may differ."""
    plans = [one["Config"]["Labels"][PLAN] for one in (first, second)]
    if plans[0] != plans[1]:
        pytest.fail(f"lock, manifests or scripts changed between the two builds, which cannot be compared: {plans}")
    built = Built.model_validate_json((ROOT / "build" / variant / "build.json").read_bytes())
    assert [layer.digest for layer in built.layers] == second["RootFS"]["Layers"]
    excused = [layer for layer in built.layers if layer.unreproducible]
    assert all(len(layer.unreproducible or "") > 10 for layer in excused), "an excuse that gives no reason"
    differ = [
        layer.stage
        for layer, digest in zip(built.layers, first["RootFS"]["Layers"], strict=True)
        if layer.digest != digest and layer not in excused
    ]
    assert differ == [], f"{len(differ)} of {len(built.layers)} layers differ"


def test_there_is_no_network_without_one() -> None:
    """What the tests below prove rests on this."""
    interfaces = run([*CUT_OFF, "cat", "/proc/net/dev"]).passed().out
    assert [line.split(":")[0].strip() for line in interfaces.splitlines() if ":" in line] == ["lo"]


@ROOT_ONLY
def test_neither_engine_nor_client_has_a_network(invoke: Invoke, small: Catalog) -> None:
    """An engine that has built nothing yet, so there is no cache either."""
    with short_folder() as folder, private_engine(folder) as engine:
        invoke("build", "--offline", *small.words, env=engine.env, under=tuple(CUT_OFF)).passed()
        first, second = image(f"dsvm/{SMALL}"), image(f"dsvm/{SMALL}", engine.env)
        assert first is not None and second is not None
        same_layers(first, second, SMALL)


@pytest.mark.slow
def test_the_big_image_offline_and_without_a_cache(invoke: Invoke, cpu_debian: Done) -> None:
    first = image(f"dsvm/{BIG}")
    assert first is not None
    unverified = f"dsvm/{BIG}:unverified"
    assert image(unverified) is None, f"{unverified} is there already: verify it or remove it first"
    try:
        words = ("build", "--variant", BIG, "--offline", "--no-cache", "--no-verify")
        done = invoke(*words, under=tuple(CUT_OFF)).passed()
        assert f"the image is {unverified} until" in done.out
        second = image(unverified)
        assert second is not None
        same_layers(first, second, BIG)
    finally:
        if image(unverified) is not None:
            docker("image", "rm", unverified)
    assert image(f"dsvm/{BIG}") == first
