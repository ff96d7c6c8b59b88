"""Where something is in a registry: HOST/REPOSITORY, with a tag or a digest."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from dsvm.host import redact
from dsvm.model import InputError

# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
DIGEST = r"sha256:[0-9a-f]{64}"
HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
MOST_NAME = 255  # characters of host and repository


@dataclass(frozen=True)
class Reference:
    """A place in a registry."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def of(cls, text: str) -> Reference:
        """HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]. Raises InputError."""
        shown = redact(text if "://" in text else f"://{text}").removeprefix("://")
        if "://" in text:
            raise InputError(f"{shown}: a registry is named without https://", hint="Write: HOST/PATH")
        match = re.fullmatch(
            rf"(?P<host>{HOST})/(?P<repository>{REPOSITORY})(?::(?P<tag>{TAG}))?(?:@(?P<digest>{DIGEST}))?", text
        )
        host = match["host"] if match else ""
        if match is None or not ({".", ":"} & set(host) or host == "localhost"):
            raise InputError(
                f"'{shown}' names nothing in a registry", hint="Write: HOST/PATH, such as registry.example/team/images"
            )
        found = cls(host, match["repository"], match["tag"] or "", match["digest"] or "")
        if len(found.place) > MOST_NAME:
            raise InputError(f"{shown}: longer than {MOST_NAME} characters")
        return found

    @property
    def place(self) -> str:
        """HOST/REPOSITORY."""
        return f"{self.host}/{self.repository}"

    @property
    def what(self) -> str:
        """The digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def at(self, what: str) -> Reference:
        """Another tag or digest in the same repository."""
        return replace(self, tag="", digest=what) if ":" in what else replace(self, tag=what, digest="")

    def __str__(self) -> str:
        return self.place + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_loopback(host: str) -> bool:
    """Whether HOST[:PORT] is this computer, by its very name: what a name server says of one counts for nothing."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
