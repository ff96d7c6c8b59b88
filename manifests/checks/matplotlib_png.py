"""matplotlib draws a line and words into a PNG: neither is missing."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    def ink(title: str, line: bool) -> int:
        """Pixels that are not white."""
        figure, axes = plt.subplots(figsize=(4, 3), dpi=100)
        axes.set_axis_off()
        axes.set_title(title)
        if line:
            axes.plot([1, 2, 3], [4, 1, 9])
        figure.savefig("plot.png")
        plt.close(figure)
        picture = plt.imread("plot.png")
        if picture.shape != (300, 400, 4):
            raise AssertionError(f"a picture of {picture.shape}")
        return int((picture[:, :, :3].min(axis=2) < 0.9).sum())

    empty, words, plot = ink("", False), ink("Ünïcode title $\\alpha^2$", False), ink("", True)
    if empty != 0:
        raise AssertionError(f"{empty} pixels in an empty picture")
    if not (words > 200):
        raise AssertionError(f"the title is {words} pixels")
    if not (plot > 200):
        raise AssertionError(f"the line is {plot} pixels")
    return {"pixels_of_title": words, "pixels_of_line": plot}


if __name__ == "__main__":
    run_check(__file__, check)
