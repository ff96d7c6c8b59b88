"""hyperopt comes near the minimum of a function of two kinds of parameters."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    from hyperopt import STATUS_OK, Trials, fmin, hp, tpe

    def loss(one: dict[str, object]) -> dict[str, object]:
        return {"loss": (float(one["x"]) - 2) ** 2 + (one["kind"] != "right"), "status": STATUS_OK}

    space = {"x": hp.uniform("x", -10, 10), "kind": hp.choice("kind", ["wrong", "right"])}
    trials = Trials()
    best = fmin(
        loss,
        space,
        algo=tpe.suggest,
        max_evals=80,
        trials=trials,
        rstate=np.random.default_rng(0),
        show_progressbar=False,
    )
    if not (abs(best["x"] - 2) < 1 and best["kind"] == 1 and len(trials.trials) == 80):
        raise AssertionError(f"best {best}")
    return {"x": round(float(best["x"]), 2)}


if __name__ == "__main__":
    run_check(__file__, check)
