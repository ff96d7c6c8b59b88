"""The client uploads an object and gets it back from a server on loopback."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import json
    import os

    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from lib.http_server import loopback
    from lib.object_store import ObjectStore

    class Bucket(ObjectStore):
        """An object comes as one part of several, and is told of in JSON."""

        def do_POST(self) -> None:
            self.note()
            _, _, rest = self.body().partition(b"\r\n\r\n")
            _, _, rest = rest.partition(b"\r\n\r\n")
            self.kept["a.txt"] = rest.partition(b"\r\n--")[0]
            told = {"name": "a.txt", "bucket": "bucket", "size": str(len(self.kept["a.txt"]))}
            self.say(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

        def do_GET(self) -> None:
            self.note()
            self.given(self.kept.get("a.txt", b"{}"))  # of the bucket first

    os.environ["NO_PROXY"] = "127.0.0.1"
    with loopback(Bucket) as url:
        client = storage.Client("project", AnonymousCredentials(), client_options={"api_endpoint": url})
        blob = client.bucket("bucket").blob("a.txt")
        blob.upload_from_string(b"text", checksum=None, timeout=20)
        found = blob.download_as_bytes(checksum=None, timeout=20)
    if (found, Bucket.kept) != (b"text", {"a.txt": b"text"}):
        raise AssertionError(f"got {found!r}, kept {Bucket.kept}")
    return {"requests": [path for path, _ in Bucket.asked]}


if __name__ == "__main__":
    run_check(__file__, check)
