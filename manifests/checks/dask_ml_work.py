"""dask-ml scales and clusters an array in parts."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import dask.array as da
    import numpy as np
    from dask_ml.cluster import KMeans
    from dask_ml.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    points = np.vstack([rng.normal(centre, 0.3, (500, 2)) for centre in (-5, 0, 5)])
    parts = da.from_array(points, chunks=(250, 2))
    scaled = StandardScaler().fit_transform(parts)
    if not (np.allclose(scaled.mean(axis=0).compute(), 0, atol=1e-6) and scaled.npartitions == 6):
        raise AssertionError("not scaled, or not in parts")
    labels = KMeans(n_clusters=3, random_state=0).fit(scaled).labels_.compute()
    sizes = sorted(np.bincount(labels).tolist())
    if sizes != [500, 500, 500]:
        raise AssertionError(f"clusters of {sizes}")
    return {"sizes": sizes}


if __name__ == "__main__":
    run_check(__file__, check)
