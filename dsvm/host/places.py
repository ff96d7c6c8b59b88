"""Where programs of this host look for their configuration, and the words of what they find there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dsvm.host.config import config_home


@dataclass(frozen=True)
class Places:
    """`environ` is the environment to read, `etc` stands for /etc."""

    environ: Mapping[str, str] = field(repr=False)
    etc: Path

    @property
    def home(self) -> Path:
        return Path(self.environ.get("HOME") or Path.home())

    @property
    def config_home(self) -> Path:
        return config_home(self.environ)

    def path(self, text: str) -> Path:
        """`text` as an absolute path, its ~ expanded."""
        if text == "~" or text.startswith("~/"):
            text = str(self.home) + text[1:]
        return Path(text).absolute()

    def words(self, variable: str, separator: str | None) -> list[str]:
        """What stands in a variable: one word, or several with a separator between them."""
        value = self.environ.get(variable, "")
        return [word.strip() for word in (value.split(separator) if separator else [value]) if word.strip()]


def words(value: object) -> list[str]:
    return str(value).split() if value else []


def truth(value: object) -> bool:
    return str(value or "").strip().lower() in ("1", "true", "yes", "on", "t", "y")


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """Those that are not empty, each once, in their order."""
    return tuple(dict.fromkeys(value for value in values if value))
