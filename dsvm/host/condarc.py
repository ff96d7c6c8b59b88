"""Where this host's conda, mamba, pixi and rattler are told to find a channel. Hosts come from them alone."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dsvm.host.clients import Host
from dsvm.host.config import config_home
from dsvm.host.urls import clean_url
from dsvm.model import InputError

# What conda's `defaults` stands for; the third one, msys2, is for Windows.
DEFAULTS = ("main", "r")
NAMES = (".condarc", "condarc", ".mambarc", "mambarc")


def expand(channels: Iterable[str]) -> tuple[str, ...]:
    """Channel names with `defaults` replaced by the channels that it stands for."""
    names = (name for channel in channels for name in (DEFAULTS if channel == "defaults" else (channel,)))
    return tuple(dict.fromkeys(names))


def channel_urls(host: Host, channel: str) -> tuple[str, ...]:
    """URLs that may serve `channel`, the best first, without trailing slashes.

    The user's `sources`, else what .condarc says of the channel itself, else the channel alias, which is rattler's
    own default unless one is set; each replaced by its mirrors in rattler's or pixi's configuration.
    """
    if own := host.source(channel):
        return own
    said = _condarc(host)
    mirrors = _mirrors(host)
    urls = [*_named(said, channel)] or [_alias(said, channel)]
    found = (place for url in urls for place in _mirrored(clean_url(url), mirrors))
    return tuple(dict.fromkeys(clean_url(url) for url in found))


def _named(said: Mapping[str, Any], channel: str) -> Iterator[str]:
    """What .condarc says of one channel."""
    mirrored = said.get("mirrored_channels", {}).get(channel, ())
    yield from [mirrored] if isinstance(mirrored, str) else mirrored
    if base := said.get("custom_channels", {}).get(channel):
        yield f"{clean_url(base)}/{channel}"
    # a company's mirror often stands there by its whole URL, which ends in the name of the channel
    for url in (*said.get("default_channels", ()), *said.get("channels", ())):
        if "://" in url and f"{urlsplit(clean_url(url)).path}/".endswith(f"/{channel}/"):
            yield url


def _alias(said: Mapping[str, Any], channel: str) -> str:
    if alias := said.get("channel_alias"):
        return f"{clean_url(alias)}/{channel}"
    from rattler import Channel

    return Channel(channel).base_url


def _mirrored(url: str, mirrors: Mapping[str, list[str]]) -> list[str]:
    """The mirrors of the longest prefix of `url` that has some, or `url` itself."""
    fitting = [known for known in mirrors if f"{url}/".startswith(f"{clean_url(known)}/")]
    if not fitting:
        return [url]
    best = max(fitting, key=len)
    return [clean_url(mirror) + url[len(clean_url(best)) :] for mirror in mirrors[best]]


def _condarc(host: Host) -> dict[str, Any]:
    """What the files and variables of conda and mamba say of channels; the later one wins."""
    import yaml

    said: dict[str, Any] = {"custom_channels": {}, "mirrored_channels": {}, "default_channels": [], "channels": []}
    for path in _files(host):
        try:
            one = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        except yaml.YAMLError as error:
            raise InputError(f"{path}: not a conda configuration: {str(error).splitlines()[0]}") from error
        if one is None:
            continue
        if not isinstance(one, Mapping):
            raise InputError(f"{path}: not a conda configuration: a mapping is expected")
        _merge(said, _expanded(one, host.environ))
    for prefix in ("CONDA_", "MAMBA_"):
        values = {key: host.environ.get(f"{prefix}{key.upper()}") for key in ("default_channels", "channels")}
        lists = {key: value.replace("&", ",").split(",") for key, value in values.items() if value}
        alias = host.environ.get(f"{prefix}CHANNEL_ALIAS")
        _merge(said, {**lists, **({"channel_alias": alias} if alias else {})})
    return said


def _merge(said: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key in ("custom_channels", "mirrored_channels"):
        if isinstance(more.get(key), Mapping):
            said[key] = {**said[key], **more[key]}
    for key in ("default_channels", "channels"):
        if isinstance(more.get(key), list):
            said[key] = [*map(str, more[key]), *said[key]]
    if more.get("channel_alias"):
        said["channel_alias"] = str(more["channel_alias"])


def _expanded(value: Any, environ: Mapping[str, str]) -> Any:
    """`value` with the environment variables that its texts name: tokens are given that way."""
    if isinstance(value, str):
        return string.Template(value).safe_substitute(environ)
    if isinstance(value, Mapping):
        return {str(key): _expanded(one, environ) for key, one in value.items()}
    return [_expanded(one, environ) for one in value] if isinstance(value, list) else value


def _home(host: Host) -> Path:
    return Path(host.environ.get("HOME") or Path.home())


def _files(host: Host) -> Iterator[Path]:
    """Configuration files in the order in which conda reads them."""
    home, environ = _home(host), host.environ
    folders = [host.etc / "conda"]
    folders += [Path(environ[name]) for name in ("CONDA_ROOT", "MAMBA_ROOT_PREFIX") if environ.get(name)]
    folders += [config_home(environ) / "conda", home / ".conda", home]
    folders += [Path(environ["CONDA_PREFIX"])] if environ.get("CONDA_PREFIX") else []
    for folder in dict.fromkeys(folders):
        yield from (folder / name for name in NAMES if folder != home or name.startswith("."))
        if folder != home:
            yield from sorted(path for path in folder.glob("condarc.d/*") if path.suffix in (".yml", ".yaml"))
    yield from (Path(environ[name]) for name in ("CONDARC", "MAMBARC") if environ.get(name))


def _mirrors(host: Host) -> dict[str, list[str]]:
    """`mirrors` of rattler's and pixi's configuration: URL -> URLs to ask instead; the later file wins."""
    home, config = _home(host), config_home(host.environ)
    folders = [
        *(host.etc / "rattler", host.etc / "pixi", config / "rattler", config / "pixi"),
        *(home / ".rattler", Path(host.environ.get("PIXI_HOME") or home / ".pixi")),
    ]
    found: dict[str, list[str]] = {}
    for path in (folder / "config.toml" for folder in folders):
        try:
            mirrors = tomllib.loads(path.read_text(encoding="utf-8")).get("mirrors", {})
        except OSError:
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a configuration of rattler: {error}") from error
        found |= {url: [places] if isinstance(places, str) else list(places) for url, places in mirrors.items()}
    return found
