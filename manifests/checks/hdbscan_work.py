"""HDBSCAN finds three clusters in points with noise among them."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import hdbscan
    import numpy as np
    from sklearn.datasets import make_blobs
    from sklearn.metrics import adjusted_rand_score

    points, truth = make_blobs([200, 150, 100], centers=[[0, 0], [8, 8], [-8, 8]], random_state=0)
    noise = np.random.default_rng(0).uniform(-15, 15, (40, 2))
    labels = hdbscan.HDBSCAN(min_cluster_size=20).fit_predict(np.vstack([points, noise]))
    agreement = adjusted_rand_score(truth, labels[: len(points)])
    if not (set(labels) == {-1, 0, 1, 2} and agreement > 0.8):
        raise AssertionError(f"labels {set(labels)}, agreement {agreement:.2f}")
    return {"agreement": round(float(agreement), 3), "noise": int((labels == -1).sum())}


if __name__ == "__main__":
    run_check(__file__, check)
