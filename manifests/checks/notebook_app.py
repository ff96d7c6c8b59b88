"""Notebook starts, refuses a wrong token and serves its application."""

from __future__ import annotations

from lib.jupyter import check_application
from lib.outcome import run_check


def check() -> dict[str, object]:
    import notebook

    return {"version": notebook.__version__, **check_application("notebook", "/tree")}


if __name__ == "__main__":
    run_check(__file__, check)
