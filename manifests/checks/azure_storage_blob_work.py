"""the client signs requests, uploads a blob and gets it back from a server on loopback."""

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
            if self.command == "GET":
                self.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    kept: dict[str, bytes] = {}

    def respond(method: str, path: str, sent: bytes) -> tuple[int, str, bytes]:
        if method == "PUT":
            kept[path] = sent
        return 201 if method == "PUT" else 206, "application/octet-stream", b"" if method == "PUT" else kept[path]

    from azure.storage.blob import BlobServiceClient

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}/account"
    who = {"account_name": "account", "account_key": "bm9uZQ=="}
    client = BlobServiceClient(place, credential=who, proxies={}, retry_total=0)
    blob = client.get_blob_client("container", "a/b.txt")
    blob.upload_blob(b"text", overwrite=True)
    found = blob.download_blob().readall()
    server.shutdown()
    if (found, list(kept)) != (b"text", ["/account/container/a/b.txt"]):
        raise AssertionError(f"got {found!r}, kept {list(kept)}")
    if not all(signed.startswith("SharedKey account:") for _, _, signed in asked):
        raise AssertionError(f"signed {asked}")
    return {"requests": len(asked)}


if __name__ == "__main__":
    run_check(__file__, check)
