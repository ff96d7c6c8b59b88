"""Pages as HTML: each one file, with everything in it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dsvm.model import LEVELS
from dsvm.plan import TEMPLATES
from dsvm.report import words
from dsvm.report.contents import Overview, Page
from dsvm.report.trend import HEIGHT, WIDTH, charts

FOLDER = TEMPLATES / "report"


@cache
def environment() -> Environment:
    """Everything is escaped but what stands in our own templates."""
    env = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    env.filters |= {
        "day": words.day,
        "duration": words.duration,
        "megabytes": words.megabytes,
        "moment": words.moment,
        "place": words.place,
        "size": words.unsigned,
    }
    env.globals |= {
        "LEVELS": LEVELS,
        "charts": charts,
        "chart_size": (WIDTH, HEIGHT),
        "plural": words.plural,
        "policy": policy(),
        "script": Markup(_text("page.js")),  # noqa: S704 - ours
        "style": Markup(_text("page.css")),  # noqa: S704 - ours
    }
    return env


def policy() -> str:
    """What a page may do: run the one script that is in it, and ask nobody for anything."""
    digest = base64.b64encode(hashlib.sha256(_text("page.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def page_html(page: Page) -> str:
    """The page of a variant."""
    return environment().get_template("page.html.j2").render(page=page, it=page.standing)


def overview_html(overview: Overview) -> str:
    """The page of all variants."""
    return environment().get_template("overview.html.j2").render(overview=overview)


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
