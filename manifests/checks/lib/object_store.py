"""A service for objects in the check itself: clients of clouds put something there and get it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lib.http_server import Handler

SAID = {
    "Content-Type": "application/octet-stream",
    "ETag": '"0x1"',
    "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
}


class ObjectStore(Handler):
    """Keeps what is put by its path, for all servers of this class together; a check adds how its cloud differs."""

    protocol_version = "HTTP/1.1"
    kept: ClassVar[dict[str, bytes]] = {}
    # path without its query, and what authorises the request, of each one
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_PUT(self) -> None:
        self.note()
        self.kept[self.path] = self.body()
        self.stored()

    def do_GET(self) -> None:
        self.note()
        self.given(self.kept[self.path])

    do_HEAD = do_GET

    def note(self) -> None:
        self.asked.append((self.path.partition("?")[0], self.headers.get("Authorization", "")))

    def stored(self) -> None:
        self.say(200)

    def given(self, body: bytes) -> None:
        self.say(200, body)

    def say(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.answer(status, body, {**SAID, **(headers or {})})
