"""boto3 signs requests to S3, puts an object and gets it back from a server on loopback."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import boto3
    from botocore.config import Config
    from lib.http_server import loopback
    from lib.object_store import ObjectStore

    settings = Config(proxies={}, s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    who = {"aws_access_key_id": "who", "aws_secret_access_key": "none", "region_name": "eu-north-1"}
    with loopback(ObjectStore) as url:
        s3 = boto3.client("s3", endpoint_url=url, config=settings, **who)
        s3.put_object(Bucket="bucket", Key="a/b.txt", Body=b"text")
        found = s3.get_object(Bucket="bucket", Key="a/b.txt")["Body"].read()
    if (found, list(ObjectStore.kept)) != (b"text", ["/bucket/a/b.txt"]):
        raise AssertionError(f"got {found!r}, kept {list(ObjectStore.kept)}")
    if not all("Credential=who/" in signed and "/eu-north-1/s3/" in signed for _, signed in ObjectStore.asked):
        raise AssertionError(f"signed {ObjectStore.asked}")
    return {"requests": len(ObjectStore.asked)}


if __name__ == "__main__":
    run_check(__file__, check)
