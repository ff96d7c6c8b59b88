"""Advisories from a service with OSV's API: https://google.github.io/osv.dev/api/

The versions that are locked are asked about, a thousand in one request, and each advisory that is new to the store is
fetched once. What is kept lies in the store's folder `advisories`, named by id and day of the last change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dsvm.audit.advisories import ID, Advisory, parse
from dsvm.audit.documents import MOST_DOCUMENT, Fault, plain
from dsvm.ecosystems import Advised
from dsvm.host import PORTAL, Host, read_bounded, redact, write_whole
from dsvm.model import DsvmError, FileError, StoreError, digest_of
from dsvm.store import Store

PUBLIC = "https://api.osv.dev"
AT_ONCE = 1000  # queries of one request: the service takes no more
MOST_PAGES = 100
SECONDS = 30.0  # without a byte of an answer


@dataclass(frozen=True)
class Service:
    """Where it is, who asks, and where answers are kept."""

    url: str
    host: Host
    store: Store
    seconds: float = SECONDS

    @classmethod
    def of(cls, host: Host, store: Store) -> Service:
        """The service that the user's configuration names (`sources: {osv: URL}`), or the public one."""
        return cls((*host.source("osv"), PUBLIC)[0], host, store)

    def ask(self, packages: Sequence[Advised]) -> tuple[list[Advisory], list[Fault]]:
        """All advisories for these packages, which are of one ecosystem, and those that cannot be read.

        Raises DsvmError when the service cannot be reached, or does not answer as it should.
        """
        asked = list(dict.fromkeys((one.ecosystem, one.name, one.version) for one in packages))
        found: dict[str, str] = {}
        for start in range(0, len(asked), AT_ONCE):
            found |= self._ids([_query(*one) for one in asked[start : start + AT_ONCE]])
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(self._advisory, found.keys(), found.values()))
        return (
            [one for one in answers if isinstance(one, Advisory)],
            [one for one in answers if isinstance(one, Fault)],
        )

    def _ids(self, queries: list[dict[str, Any]]) -> Mapping[str, str]:
        """Id -> when it was changed, of all advisories that answer."""
        found: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            answer = self._json(self.host.post(f"{self.url}/v1/querybatch", {"queries": queries}, seconds=self.seconds))
            results = answer.get("results")
            if not isinstance(results, list) or len(results) != len(queries):
                raise StoreError(f"{redact(self.url)}: it answers {len(queries)} queries with something else")
            more = []
            for query, result in zip(queries, results, strict=True):
                found |= _ids_of(result, redact(self.url))
                if isinstance(result, dict) and isinstance(token := result.get("next_page_token"), str) and token:
                    more.append({**query, "page_token": token})
            if not more:
                return found
            queries = more
        raise StoreError(f"{redact(self.url)}: its answer has more than {MOST_PAGES} pages")

    def _advisory(self, id: str, modified: str) -> Advisory | Fault:
        try:
            return self._kept_or_fetched(id, modified)
        except DsvmError as error:
            return Fault(id, plain(error.message, 500))

    def _kept_or_fetched(self, id: str, modified: str) -> Advisory:
        path = self.store.root / "advisories" / f"{digest_of([id, modified])}.json"
        try:
            return parse(read_bounded(path, MOST_DOCUMENT))
        except (OSError, ValueError):  # never asked for, or damaged
            pass
        url = f"{self.url}/v1/vulns/{quote(id, safe='')}"
        answer = self.host.get(url, accept="application/json", seconds=self.seconds)
        self._json(answer)
        try:
            advisory = parse(answer.content)
        except ValueError as error:
            raise StoreError(f"{redact(url)}: {error}") from error
        if advisory.id != id:
            raise StoreError(f"{redact(url)}: it answers with {advisory.id}")
        if modified:
            _keep(path, answer.content)
        return advisory

    def _json(self, answer: Any) -> Mapping[str, Any]:
        """A JSON object that a service answered. Raises StoreError."""
        where = redact(str(answer.request.url))
        if answer.status_code != 200:
            raise StoreError(f"{where}: HTTP {answer.status_code} {plain(answer.reason_phrase)}".rstrip())
        try:
            found = answer.json()
        except (ValueError, RecursionError) as error:
            page = "html" in answer.headers.get("content-type", "").lower() or answer.content.lstrip()[:1] == b"<"
            raise StoreError(f"{where}: {PORTAL if page else 'its answer is no JSON'}") from error
        if not isinstance(found, dict):
            raise StoreError(f"{where}: its answer is no JSON object")
        return found


def _query(ecosystem: str, name: str, version: str) -> dict[str, Any]:
    return {"package": {"ecosystem": ecosystem, "name": name}, "version": version}


def _ids_of(result: object, whose: str) -> Iterator[tuple[str, str]]:
    for one in (result.get("vulns") or ()) if isinstance(result, dict) else ():
        id = one.get("id") if isinstance(one, dict) else None
        if not isinstance(id, str) or not re.fullmatch(ID, id):
            raise StoreError(f"{whose}: it names an advisory without an id")
        modified = one.get("modified")
        yield id, modified if isinstance(modified, str) else ""


def _keep(path: Path, content: bytes) -> None:
    """A disk that does not take it costs only time."""
    try:
        write_whole(path, content)
    except FileError:
        return
