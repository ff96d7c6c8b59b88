"""A service with OSV's API on loopback, from a list of records; it can misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from osv_records import Record


class FakeOsv:
    """`broken` is a status to answer, 'html', 'junk', 'short' or 'stall'; `page` how many ids stand on a page."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = {record["id"]: record for record in records}
        self.asked: list[str] = []
        self.broken: int | str | None = None
        self.page = 1000
        self.go = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.asked.append(self.path)
                record = fake.records.get(self.path.removeprefix("/v1/vulns/"))
                self.send(404 if record is None else 200, record or {"code": 5, "message": "Bug not found."})

            def do_POST(self) -> None:
                fake.asked.append(self.path)
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if fake.broken == "stall":
                    fake.go.wait(20)
                elif fake.broken == "html":
                    self.send_text(200, "<!DOCTYPE html><p>Please log in</p>", "text/html")
                elif fake.broken == "junk":
                    self.send_text(200, "[" * 100_000, "application/json")
                elif fake.broken == "short":
                    self.send(200, {"results": []})
                elif isinstance(fake.broken, int):
                    self.send(fake.broken, {"code": 3, "message": "Invalid ecosystem."})
                else:
                    self.send(200, {"results": [fake.answer(query) for query in body["queries"]]})

            def send(self, status: int, document: object) -> None:
                self.send_text(status, json.dumps(document), "application/json")

            def send_text(self, status: int, text: str, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, query: Record) -> Record:
        """The ids for a package; unlike the real one it does not look at versions."""
        wanted = query["package"]["ecosystem"], query["package"]["name"].lower()
        found = [
            {"id": id, "modified": record["modified"]}
            for id, record in self.records.items()
            for one in record["affected"]
            if (one["package"]["ecosystem"], one["package"]["name"].lower()) == wanted
        ]
        start = int(query.get("page_token", 0))
        more = {"next_page_token": str(start + self.page)} if start + self.page < len(found) else {}
        return {"vulns": found[start : start + self.page], **more} if found else {}

    def close(self) -> None:
        self.go.set()
        self._http.shutdown()
        self._http.server_close()
