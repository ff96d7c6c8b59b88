"""The user's own configuration of DSVM: where this host finds registries, beyond what other clients know."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dsvm.host.files import read_bounded
from dsvm.host.urls import clean_url, redact
from dsvm.model import InputError

MOST = 1 << 20  # bytes of the file


def config_home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config")


def config_path(environ: Mapping[str, str]) -> Path:
    """The user's configuration file of DSVM, whether it exists or not."""
    return Path(environ.get("DSVM_CONFIG") or config_home(environ) / "dsvm/config.yaml")


def read_sources(path: Path | None, environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """`sources:` of the user's configuration: registry -> URLs. No file at the default place means none.

    Raises InputError naming file and line of every fault.
    """
    asked_for = path is not None or bool(environ.get("DSVM_CONFIG"))
    path = path or config_path(environ)
    try:
        text = read_bounded(path, MOST).decode("utf-8")
    except FileNotFoundError:
        if asked_for:
            hint = "DSVM_CONFIG names your own configuration."
            raise InputError(f"{path}: no such file", hint=hint) from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read it: {error}") from error
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}:1: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise InputError(f"{path}:1: nested too deeply") from error
    if root is None:
        return {}
    faults: list[str] = []
    sources: dict[str, tuple[str, ...]] = {}

    def fault(node: yaml.Node, what: str) -> None:
        faults.append(f"{path}:{node.start_mark.line + 1}: {what}")

    def entries(node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            fault(node, f"{what} is a mapping")
            return
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                fault(key, "a key is a name")
            elif key.value in seen:
                fault(key, f"'{key.value}' stands here twice")
            else:
                seen.add(key.value)
                yield key.value, key, value

    for name, key, value in entries(root, "the configuration"):
        if name != "sources":
            near = " (did you mean 'sources'?)" if difflib.get_close_matches(name, ["sources"]) else ""
            fault(key, f"unknown key '{name}'{near}")
            continue
        if isinstance(value, yaml.ScalarNode) and value.tag == "tag:yaml.org,2002:null":
            continue
        for registry, registry_key, urls in entries(value, "'sources'"):
            if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", registry):
                fault(registry_key, f"'{registry}' is no registry's name (pypi, npm, debian, ...)")
                continue
            nodes = urls.value if isinstance(urls, yaml.SequenceNode) else [urls]
            if not nodes:
                fault(urls, f"'{registry}' names no URL")
            for node in nodes:
                if why := _url_fault(node.value if isinstance(node, yaml.ScalarNode) else None):
                    fault(node, f"'{registry}': {why}")
            sources[registry] = tuple(clean_url(node.value) for node in nodes if isinstance(node, yaml.ScalarNode))
    if faults:
        raise InputError(faults)
    return sources


def _url_fault(text: str | None) -> str | None:
    if text is None:
        return "a URL, or a list of URLs, is expected"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        return f"{redact(text)}: {error}"
    good = (parts.scheme in ("http", "https") and parts.hostname) or (
        parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    )
    if not good or re.search(r"[\s\x00-\x1f]", text):
        return f"'{redact(text)}' is no http, https or file URL"
    return None
