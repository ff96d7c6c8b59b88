"""pandas writes a table to s3://, and reads it back, with a server on loopback that plays S3."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    import pandas as pd

    kept: dict[str, bytes] = {}
    asked: list[str] = []

    class Bucket(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes = b"", size: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if size is None else size))
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            kept[self.path.partition("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200)

        def do_HEAD(self) -> None:
            there = kept.get(self.path.partition("?")[0])
            self.answer(404 if there is None else 200, size=len(there or b""))

        def do_GET(self) -> None:
            there = kept.get(self.path.partition("?")[0])
            self.answer(404 if there is None else 200, there or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {
        "key": "who",
        "secret": "none",
        "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"},
        "config_kwargs": {"proxies": {}, "request_checksum_calculation": "when_required"},
    }
    table = pd.DataFrame({"k": ["a", "b"], "v": [1, 2]})
    table.to_csv("s3://bucket/folder/t.csv", index=False, storage_options=options)
    again = pd.read_csv("s3://bucket/folder/t.csv", storage_options=options)
    server.shutdown()
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    # some versions make the bucket first
    if not (
        {*kept} - {"/bucket"} == {"/bucket/folder/t.csv"} and asked[0].startswith("AWS4-HMAC-SHA256 Credential=who/")
    ):
        raise AssertionError(f"kept {list(kept)}, signed {asked}")
    return {"bytes": len(kept["/bucket/folder/t.csv"])}


if __name__ == "__main__":
    run_check(__file__, check)
