"""UMAP puts handwritten digits onto a plane, like beside like."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import warnings

    import umap
    from sklearn.datasets import load_digits
    from sklearn.manifold import trustworthiness

    images, _ = load_digits(n_class=5, return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plane = umap.UMAP(n_epochs=100, random_state=0).fit_transform(images)
    trust = float(trustworthiness(images, plane, n_neighbors=10))
    if not (plane.shape == (len(images), 2) and trust > 0.9):
        raise AssertionError(f"trustworthiness {trust:.2f}")
    return {"trustworthiness": round(trust, 3)}


if __name__ == "__main__":
    run_check(__file__, check)
