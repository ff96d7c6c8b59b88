"""pyproj takes degrees to metres and back, and measures the way between two cities."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from pyproj import Geod, Transformer

    there = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    x, y = there.transform(15.0, 52.0)
    if not (abs(x - 500_000) < 1e-3 and abs(y - 5_761_038) < 1):
        raise AssertionError(f"{x} {y} is not on the middle line of zone 33")
    back = there.transform(x, y, direction="INVERSE")
    if not (abs(back[0] - 15) < 1e-8 and abs(back[1] - 52) < 1e-8):
        raise AssertionError(f"back at {back}")
    _, _, metres = Geod(ellps="WGS84").inv(13.405, 52.52, 2.3522, 48.8566)
    if not 876_000 < metres < 881_000:
        raise AssertionError(f"Berlin to Paris: {metres} m")
    return {"berlin_paris_m": round(metres)}


if __name__ == "__main__":
    run_check(__file__, check)
