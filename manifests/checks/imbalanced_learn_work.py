"""SMOTE fills up the small class, and a classifier then finds more of it."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from collections import Counter

    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import recall_score

    x, y = make_classification(4000, weights=[0.97], class_sep=0.7, random_state=0)
    filled = Counter(SMOTE(random_state=0).fit_resample(x, y)[1].tolist())
    if filled[0] != filled[1]:
        raise AssertionError(f"classes {filled}")
    plain = recall_score(y, LogisticRegression().fit(x, y).predict(x))
    model = make_pipeline(SMOTE(random_state=0), LogisticRegression())
    better = recall_score(y, model.fit(x, y).predict(x))
    if not better > plain + 0.1:
        raise AssertionError(f"recall {plain:.2f} without, {better:.2f} with it")
    return {"recall": [round(plain, 2), round(better, 2)]}


if __name__ == "__main__":
    run_check(__file__, check)
