"""Who is logged in to a registry on this machine: what docker, podman and skopeo have written down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsvm.host.config import config_home
from dsvm.host.files import read_bounded
from dsvm.host.programs import run
from dsvm.model import InputError, ProgramError, StoreError

MOST = 1 << 20  # bytes of such a file
HELPER_SECONDS = 60  # a helper may ask its user
TOKEN_USER = "<token>"  # noqa: S105 - how helpers call the user of an identity token


@dataclass(frozen=True)
class RegistryLogin:
    """User and password, or a token that stands for both; neither is ever shown."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)


def registry_login(environ: Mapping[str, str], host: str, repository: str) -> RegistryLogin | None:
    """The login for HOST/REPOSITORY of the first file that has one; None where nobody is logged in.

    A file named by REGISTRY_AUTH_FILE comes first, then docker's, then podman's; credential helpers are asked.
    Raises InputError for a file that cannot be read, StoreError where a helper fails.
    """
    for path in _files(environ):
        try:
            said = json.loads(read_bounded(path, MOST))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            # what stands in it may be a secret
            why = error.strerror if isinstance(error, OSError) else "no JSON"
            raise InputError(f"{path}: cannot read who is logged in: {why}") from None
        if isinstance(said, dict) and (found := _of_file(path, said, host, repository)) is not None:
            return found
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md"""
    home = Path(environ.get("HOME") or Path.home())
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"
    yield config_home(environ) / "containers/auth.json"


def _of_file(path: Path, said: Mapping[str, Any], host: str, repository: str) -> RegistryLogin | None:
    auths, helpers = said.get("auths") or {}, said.get("credHelpers") or {}
    keys = list(_keys(host, repository))
    for key in keys:
        helper = helpers.get(key) if isinstance(helpers, dict) else None
        if isinstance(helper, str) and (found := _ask(helper, key)) is not None:
            return found
    for key in keys:
        entry = auths.get(key) if isinstance(auths, dict) else None
        if isinstance(entry, dict) and (found := _entry(path, key, entry)) is not None:
            return found
    store = said.get("credsStore")
    if isinstance(store, str) and store:
        return next((found for key in keys if (found := _ask(store, key)) is not None), None)
    return None


def _keys(host: str, repository: str) -> Iterator[str]:
    """What a login may be filed under: podman's keys may name folders of repositories, the longest first."""
    from docker.auth import INDEX_NAME, INDEX_URL

    parts = repository.split("/")
    yield from ("/".join([host, *parts[:count]]) for count in range(len(parts), 0, -1))
    yield from (host, f"https://{host}", f"https://{host}/", f"https://{host}/v1/", f"https://{host}/v2/")
    yield f"http://{host}"
    if host == INDEX_NAME:
        yield INDEX_URL


def _entry(path: Path, key: str, entry: Mapping[str, Any]) -> RegistryLogin | None:
    from docker.auth import decode_auth

    if isinstance(token := entry.get("identitytoken"), str) and token:
        return RegistryLogin(identity=token)
    if not isinstance(auth := entry.get("auth"), str) or not auth:
        return None  # a helper has it
    try:
        user, password = decode_auth(auth)
    except (ValueError, TypeError):
        raise InputError(f"{path}: the login for {key} is none", hint=f"Log in again: docker login {key}") from None
    return RegistryLogin(user, password.rstrip("\0"))


def _ask(helper: str, key: str) -> RegistryLogin | None:
    """https://github.com/docker/docker-credential-helpers"""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", helper):
        raise InputError(f"{helper!r} is no credential helper's name")
    program = f"docker-credential-{helper}"
    try:
        done = run([program, "get"], stdin=key, timeout=HELPER_SECONDS, check=False)
    except ProgramError as error:
        raise StoreError(f"{error.message}, and the login for {key} is kept by it", hint=error.hint) from error
    if done.returncode != 0:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise StoreError(f"{program}: it gives no login for {key}: exit code {done.returncode}")
    try:
        said = json.loads(done.stdout)
        user, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(f"{program}: what it answers for {key} is no login") from None
    if not (user or secret):
        return None
    return RegistryLogin(identity=secret) if user == TOKEN_USER else RegistryLogin(user, secret)
