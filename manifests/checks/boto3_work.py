"""boto3 signs requests to S3, puts an object and gets it back from a server on loopback."""

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

    kept: dict[str, bytes] = {}

    def respond(method: str, path: str, sent: bytes) -> tuple[int, str, bytes]:
        if method == "PUT":
            kept[path] = sent
        return 200, "application/octet-stream", b"" if method == "PUT" else kept[path]

    import boto3
    from botocore.config import Config

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = Config(proxies={}, s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    who = {"aws_access_key_id": "who", "aws_secret_access_key": "none", "region_name": "eu-north-1"}
    s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.server_port}", config=settings, **who)
    s3.put_object(Bucket="bucket", Key="a/b.txt", Body=b"text")
    found = s3.get_object(Bucket="bucket", Key="a/b.txt")["Body"].read()
    server.shutdown()
    if (found, list(kept)) != (b"text", ["/bucket/a/b.txt"]):
        raise AssertionError(f"got {found!r}, kept {list(kept)}")
    if not all("Credential=who/" in signed and "/eu-north-1/s3/" in signed for _, _, signed in asked):
        raise AssertionError(f"signed {asked}")
    return {"requests": len(asked)}


if __name__ == "__main__":
    run_check(__file__, check)
