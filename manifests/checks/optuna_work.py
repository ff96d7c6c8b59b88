"""optuna comes near the minimum of a function, and goes on with a study kept in SQLite."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    place = "sqlite:///study.db"

    def distance(trial: optuna.Trial) -> float:
        return (trial.suggest_float("x", -10, 10) - 2) ** 2

    study = optuna.create_study(study_name="one", storage=place, sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(distance, n_trials=30)
    again = optuna.load_study(study_name="one", storage=place)
    again.optimize(distance, n_trials=30)
    if not (len(again.trials) == 60 and again.best_value < 0.5):
        raise AssertionError(f"{len(again.trials)} trials, best {again.best_value}")
    return {"best": again.best_params["x"]}


if __name__ == "__main__":
    run_check(__file__, check)
