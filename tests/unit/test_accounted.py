"""What the ledger finds, as checks of an image: each finding fails one, and what nobody tells is not exercised."""

from __future__ import annotations

from typing import get_args

import pytest

from dsvm.checks import accounted
from dsvm.checks.of_files import MOST
from dsvm.ledger import LEVELS, Account, Difference
from dsvm.ledger.accounting import KEPT, _silent_layers, _told
from dsvm.ledger.comparing import Verdict, shown
from dsvm.ledger.image import Image, Layer
from dsvm.ledger.promises import Promises
from dsvm.model import Plan, Stage, Step, Where


def outcomes(*found: Difference, **more: object) -> dict[str, str]:
    account = Account("sha256:1", 5, 9, found, **{"silent": {}, **more})  # type: ignore[arg-type]
    return {f"{one.tool}: {one.check}": one.outcome for one in accounted(account, 1.5)}


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_each_finding_fails_one_check(verdict: Verdict) -> None:
    assert set(outcomes().values()) == {"passed"}
    found = outcomes(Difference(verdict, "/x", "it is"))
    failed = [name for name, outcome in found.items() if outcome == "failed"]
    assert len(failed) == (0 if verdict in LEVELS else 1), failed
    assert ("not exercised" in found.values()) == (LEVELS.get(verdict) == "unknown")


def test_a_check_says_what_was_found_and_not_a_million_times() -> None:
    found = tuple(Difference("unexplained", f"/{number}", "nothing explains this file") for number in range(MOST + 9))
    (one,) = (it for it in accounted(Account("sha256:1", 5, 9, found, {}), 1.5) if it.outcome == "failed")
    lines = one.output.splitlines()
    assert (one.check, one.seconds) == ("every file is explained", 1.5)
    assert lines[0] == "/0: nothing explains this file" and lines[-1] == "and 9 more" and len(lines) == MOST + 1


@pytest.mark.parametrize("path", ["/a\x1b[31m", "/a\nb", "/a\u202eb", "/caf\udce9", "/" + "a" * 4000, "/\ud800"])
def test_a_file_of_whatever_name_is_a_finding_that_can_be_kept_and_shown(path: str) -> None:
    one = shown(Difference("secret", path, f"{path} looks odd", path))
    account = Account("sha256:1", 5, 9, (one,), {})
    assert KEPT.validate_json(KEPT.dump_json(account)) == account
    assert one.path.isprintable() and one.what.isprintable()
    assert Where(path=one.path, pin=one.who).path == one.path


def stage(name: str, *, output: bool) -> Stage:
    step = Step(script="install", sections=(name,))
    return Stage(name=f"{name}_0", section=name, title=name, parent="base", steps=(step,), output=output)


def test_what_packages_do_not_tell_is_not_exercised_in_their_own_layer_alone() -> None:
    stages = (stage("system", output=False), stage("env-base", output=True), stage("env-shelf", output=True))
    plan = Plan.model_construct(stages=stages)  # type: ignore[call-arg]
    layers = ["a", "b", "c", "d", "e"]  # of the base, the system, two environments and the plan's files
    image = Image("sha256:1", tuple(Layer(one, []) for one in layers), {})
    promised = Promises(silent={"env-shelf": "shelf"})
    silent = _silent_layers(plan, image, promised, layers)
    assert silent == {3: "env-shelf"}
    assert _silent_layers(plan, image, promised, None) == {}
    assert _silent_layers(plan, image, promised, ["x", *layers[1:]]) == {}, "these are not the layers of its build"
    found = [
        Difference("unexplained", "/opt/shelf/x", "x", layer=3),
        Difference("unexplained", "/opt/y", "y", layer=4),
        Difference("changed", "/opt/z", "z", layer=3),
    ]
    kept, untold = _told(found, silent)
    assert [one.path for one in kept] == ["/opt/y", "/opt/z"] and untold == {"env-shelf": 1}
    said = outcomes(silent={"env-shelf": "shelf"}, untold=untold)
    assert said["image: files of env-shelf"] == "not exercised"
