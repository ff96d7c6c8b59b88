"""the client uploads an object and gets it back from a server on loopback."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    asked: list[tuple[str, str, str]] = []

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            sent = self.rfile.read(size)
            status, kind, body = respond(self.command, self.path, sent)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("ETag", '"0x1"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    import json
    import os

    kept: list[bytes] = []

    def respond(method: str, path: str, sent: bytes) -> tuple[int, str, bytes]:
        if method == "POST":
            kept.append(sent)
            return 200, "application/json", json.dumps({"name": "a.txt", "bucket": "bucket", "size": "4"}).encode()
        return 200, "application/octet-stream", b"text"

    os.environ["NO_PROXY"] = "127.0.0.1"
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = {"api_endpoint": f"http://127.0.0.1:{server.server_port}"}
    client = storage.Client("project", AnonymousCredentials(), client_options=place)
    blob = client.bucket("bucket").blob("a.txt")
    blob.upload_from_string(b"text", checksum=None, timeout=20)
    found = blob.download_as_bytes(checksum=None, timeout=20)
    server.shutdown()
    if not (found == b"text" and len(kept) == 1 and b"\r\n\r\ntext\r\n" in kept[0]):
        raise AssertionError(f"got {found!r}, sent {kept}")
    return {"requests": [path.partition("?")[0] for _, path, _ in asked]}


if __name__ == "__main__":
    run_check(__file__, check)
