"""aws copies a file to a bucket on loopback and lists it, signed with the right key."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lib.http_server import Handler, loopback
from lib.outcome import run_check
from lib.process import environment_without_proxies

KEPT: dict[str, bytes] = {}
SIGNED: list[str] = []


class Bucket(Handler):
    """The part of S3 that copying a file and listing a bucket asks."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        SIGNED.append(self.headers.get("Authorization", ""))
        if "chunked" in self.headers.get("Content-Encoding", ""):
            KEPT[self.path] = b"".join(self.chunks())
        else:
            KEPT[self.path] = self.body()
        self.say(b"")

    def chunks(self) -> list[bytes]:
        """Parts of a body in AWS's own chunked form, which may end in further headers."""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return parts

    def do_GET(self) -> None:
        rows = "".join(
            f"<Contents><Key>{path.rpartition('/')[2]}</Key><Size>{len(body)}</Size>"
            "<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>x</ETag></Contents>"
            for path, body in KEPT.items()
        )
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        self.say(f'<ListBucketResult xmlns="{space}"><Name>box</Name>{rows}</ListBucketResult>'.encode())

    def say(self, body: bytes) -> None:
        self.answer(200, body, {"ETag": '"x"', "Content-Type": "application/xml"})


def aws(endpoint: str, *words: str) -> str:
    env = {
        **{name: value for name, value in environment_without_proxies().items() if name.lower() != "aws_profile"},
        "AWS_ACCESS_KEY_ID": "CHECKKEY",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": "none",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    argv = ["aws", "--endpoint-url", endpoint, *words]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise AssertionError(f"aws {words[0]} {words[1]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def check() -> dict[str, object]:
    Path("report.txt").write_text("kept as it is\n")
    with loopback(Bucket) as url:
        aws(url, "s3", "cp", "report.txt", "s3://box/report.txt", "--no-progress")
        if KEPT.get("/box/report.txt") != b"kept as it is\n":
            raise AssertionError(f"the bucket holds {KEPT}")
        if not ("Credential=CHECKKEY/" in SIGNED[0] and "/eu-west-1/s3/aws4_request" in SIGNED[0]):
            raise AssertionError(f"signed {SIGNED[0]!r}")
        listed = aws(url, "s3", "ls", "s3://box/")
    if "14 report.txt" not in listed:
        raise AssertionError(f"it listed {listed!r}")
    return {"listed": listed.strip()}


if __name__ == "__main__":
    run_check(__file__, check)
