"""scikit-image finds the discs in a noisy picture."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    from skimage import draw, filters, measure

    picture = np.random.default_rng(0).normal(0, 0.1, (200, 200))
    centres = [(40, 40), (100, 150), (160, 60)]
    for row, column in centres:
        picture[draw.disk((row, column), 15)] += 1
    smooth = filters.gaussian(picture, sigma=2)
    regions = measure.regionprops(measure.label(smooth > filters.threshold_otsu(smooth)))
    found = sorted(tuple(round(value) for value in region.centroid) for region in regions)
    if not (
        len(found) == 3
        and all(np.hypot(*np.subtract(one, two)) < 2 for one, two in zip(found, sorted(centres), strict=True))
    ):
        raise AssertionError(f"found {found}")
    return {"found": [list(one) for one in found]}


if __name__ == "__main__":
    run_check(__file__, check)
