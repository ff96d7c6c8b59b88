"""The client signs requests, uploads a blob and gets it back from a server on loopback."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from azure.storage.blob import BlobServiceClient
    from lib.http_server import loopback
    from lib.object_store import ObjectStore

    class Account(ObjectStore):
        """Blobs are read in ranges."""

        def stored(self) -> None:
            self.say(201)

        def given(self, body: bytes) -> None:
            self.say(206, body, {"Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"})

    who = {"account_name": "account", "account_key": "bm9uZQ=="}
    with loopback(Account) as url:
        client = BlobServiceClient(f"{url}/account", credential=who, proxies={}, retry_total=0)
        blob = client.get_blob_client("container", "a/b.txt")
        blob.upload_blob(b"text", overwrite=True)
        found = blob.download_blob().readall()
    if (found, list(Account.kept)) != (b"text", ["/account/container/a/b.txt"]):
        raise AssertionError(f"got {found!r}, kept {list(Account.kept)}")
    if not all(signed.startswith("SharedKey account:") for _, signed in Account.asked):
        raise AssertionError(f"signed {Account.asked}")
    return {"requests": len(Account.asked)}


if __name__ == "__main__":
    run_check(__file__, check)
