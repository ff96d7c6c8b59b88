"""Releases on bad days: stopped at every step."""

from __future__ import annotations

import pytest
from registries import ALWAYS
from release_world import World, days

from dsvm.model import RegistryError
from dsvm.release import Keep


@pytest.mark.parametrize(("listed", "stride"), [(False, 1), (True, 7)])
def test_a_run_that_ends_anywhere_leaves_no_mix_and_the_next_one_ends_as_it_would_have(
    listed: bool, stride: int, world: World
) -> None:
    """Refused from the n-th write on, for every n: as good as killed there, for nothing can be put back."""
    world.server.referrers = listed
    old = world.publish(world.candidate("cpu", "a"), world.candidate("gpu", "b"))
    new = [world.candidate("cpu", "c"), world.candidate("gpu", "d")]
    before = world.remembered()
    asked = len(world.server.requests("PUT|POST"))
    done = world.publish(*new)
    steps = len(world.server.requests("PUT|POST")) - asked
    wanted = world.state()
    assert steps >= 30
    for step in range(0, steps, stride):
        world.restore(before)
        world.server.trouble("PUT|POST", status=403, skip=step, times=ALWAYS)
        with pytest.raises(RegistryError):
            world.publish(*new)
        world.server.troubles.clear()
        for channel in ("nightly", "latest"):
            assert world.names(channel) in (old.release.digests, done.release.digests)
            world.home.registry.compare(channel)
        world.publish(*new)
        assert world.state() == wanted, f"refused from {step} on"


def test_clearing_away_that_was_cut_short_goes_on(world: World) -> None:
    world.server.referrers = False
    days(world, "a", "b")
    keep = Keep(1, 0, 0)
    before = world.remembered()
    world.home.collect(keep)
    wanted = world.state()
    steps = len(world.server.requests("DELETE"))
    assert steps > 8
    for step in range(steps):
        world.restore(before)
        world.server.trouble("DELETE", status=403, skip=step, times=ALWAYS)
        with pytest.raises(RegistryError):
            world.home.collect(keep)
        world.server.troubles.clear()
        for channel in ("nightly", "latest"):
            world.home.registry.compare(channel)
        world.home.collect(keep)
        assert world.state() == wanted, f"refused from {step} on"
