"""scikit-learn tells handwritten digits apart."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, digits = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images, digits, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(train_x, train_y)
    accuracy = float(model.score(test_x, test_y))
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.1")
    return {"accuracy": round(accuracy, 3)}


if __name__ == "__main__":
    run_check(__file__, check)
