"""CatBoost learns from words as they are, and what no straight line can part."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    from catboost import CatBoostClassifier, Pool

    rng = np.random.default_rng(0)
    numbers = rng.uniform(-1, 1, size=(4000, 2))
    words = rng.choice(["east", "west", "north", "south"], size=4000)
    y = ((numbers[:, 0] * numbers[:, 1] > 0) ^ np.isin(words, ["east", "south"])).astype(int)
    rows = [[float(a), float(b), str(word)] for (a, b), word in zip(numbers, words, strict=True)]
    model = CatBoostClassifier(
        iterations=200, depth=6, learning_rate=0.2, verbose=False, allow_writing_files=False, random_seed=0
    )
    model.fit(Pool(rows[:3000], y[:3000], cat_features=[2]))
    test = Pool(rows[3000:], cat_features=[2])
    accuracy = float((model.predict(test) == y[3000:]).mean())
    if not (accuracy > 0.85):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    model.save_model("model.cbm")
    again = CatBoostClassifier().load_model("model.cbm").predict_proba(test)
    if not np.allclose(again, model.predict_proba(test)):
        raise AssertionError("the saved model predicts otherwise")
    return {"accuracy": round(accuracy, 3)}


if __name__ == "__main__":
    run_check(__file__, check)
