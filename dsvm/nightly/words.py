"""How a night is told, on a terminal and in Markdown."""

from __future__ import annotations

from dsvm.model import Night, VariantNight

TITLES = {
    "unchanged": "Nothing moved",
    "green": "All that moved is out",
    "held": "Out, with some held back",
    "red": "Red: nothing was released",
}


def title(night: Night) -> str:
    """For example 'All that moved is out (2026-11-27, 12 min)'."""
    return f"{TITLES[night.verdict]} ({night.began.date()}, {night.seconds / 60:.1f} min)"


def about(one: VariantNight) -> str:
    """What a night came to for a variant, in a line."""
    if one.verdict == "red":
        return f"red, at {one.broke}"
    if one.changes is not None:
        return one.changes.headline
    return "nothing moved" if one.verdict == "unchanged" else "the first night"


def minutes(one: VariantNight) -> str:
    """What its steps took: lock 0.4, build 5.2 min. A search is made of builds and verifications, counted there too."""
    parts = [f"{step.step} {step.seconds / 60:.1f}" for step in one.steps if step.seconds >= 3]
    return f"{', '.join(parts)} min" if parts else ""


def size(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:,.0f} MB"
