"""the client downloads a file of a repository once, into its cache, from a server on loopback that plays the Hub."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import hashlib
    import os
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    body, got = b'{"layers": 2}', []

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            got.append((self.command, self.path))
            self.send_response(200 if self.path == "/who/model/resolve/main/config.json" else 404)
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_XET": "1",
    }
    from huggingface_hub import hf_hub_download

    for _ in range(2):
        path = Path(hf_hub_download("who/model", "config.json", cache_dir="cache"))
    server.shutdown()
    downloads = [one for one in got if one == ("GET", "/who/model/resolve/main/config.json")]
    if not (path.read_bytes() == body and path.parent.name == "a" * 40 and len(downloads) == 1):
        raise AssertionError(f"{path}, asked {got}")
    return {"downloads": len(downloads)}


if __name__ == "__main__":
    run_check(__file__, check)
