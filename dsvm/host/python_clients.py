"""Where pip and uv of this host take packages from, by their own configuration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsvm.host.places import Places, words
from dsvm.model import InputError


@dataclass(frozen=True)
class Uv:
    """URLs of indexes, and folders or URLs of distributions."""

    default: list[str]
    extra: list[str]
    find_links: list[str]


def pip_options(places: Places) -> Mapping[str, str]:
    """pip's options in force: [global], then [install], then PIP_* variables; the later file wins."""
    import configparser

    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in _pip_files(places):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a pip configuration: {str(error).splitlines()[0]}") from error
        for name, options in sections.items():
            if parser.has_section(name):
                options.update({key.replace("_", "-"): value for key, value in parser.items(name)})
    variables = {
        key.removeprefix("PIP_").lower().replace("_", "-"): value
        for key, value in places.environ.items()
        if key.startswith("PIP_") and value
    }
    return {**sections["global"], **sections["install"], **variables}


def _pip_files(places: Places) -> Iterator[Path]:
    """Configuration files in the order in which pip reads them."""
    chosen = places.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    system = [Path(entry) / "pip" for entry in places.words("XDG_CONFIG_DIRS", os.pathsep)]
    yield from (folder / "pip.conf" for folder in [*(system or [places.etc / "xdg/pip"]), places.etc])
    if not (chosen and places.path(chosen).exists()):
        yield from (places.home / ".pip/pip.conf", places.config_home / "pip/pip.conf")
    prefix = Path(places.environ.get("VIRTUAL_ENV") or sys.prefix)
    yield prefix / "pip.conf"
    if chosen:
        yield places.path(chosen)


def uv_settings(places: Places) -> Uv:
    """uv's settings in force: the environment, then the user's uv.toml, then the system's."""
    import tomllib

    files: list[dict[str, Any]] = []
    for path in (places.config_home / "uv/uv.toml", places.etc / "uv/uv.toml"):
        try:
            files.append(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a uv configuration: {error}") from error
    env = places.environ
    defaults = [env.get("UV_DEFAULT_INDEX"), env.get("UV_INDEX_URL")]
    extra = [*words(env.get("UV_INDEX")), *words(env.get("UV_EXTRA_INDEX_URL"))]
    links = places.words("UV_FIND_LINKS", ",")
    for one in files:
        tables = [one, one.get("pip", {})]
        indexes = one.get("index", [])
        defaults += [index["url"] for index in indexes if index.get("default") and "url" in index]
        defaults += [table.get("index-url") for table in tables]
        # an `explicit` index serves only packages that a project assigns to it
        extra += [
            index["url"]
            for index in indexes
            if "url" in index and not index.get("default") and not index.get("explicit")
        ]
        extra += [url for table in tables for url in table.get("extra-index-url", [])]
        links += [link for table in tables for link in table.get("find-links", [])]
    named = re.compile(r"^[\w.-]+=(?=[a-z+]+:|[/.])")
    return Uv(
        default=[named.sub("", url) for url in defaults if url][:1],
        extra=[named.sub("", url) for url in extra],
        find_links=links,
    )


def default_index() -> str:
    """What pip asks where nobody says anything."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    return PYPI_SIMPLE_ENDPOINT
