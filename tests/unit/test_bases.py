"""Bases: what is said when a registry cannot be reached."""

from __future__ import annotations

import pytest

from dsvm.bases import said_by_skopeo


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'time="2026-11-23T01:49:39Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:9/x:1\\": '
            'pinging container registry 127.0.0.1:9: Get \\"http://127.0.0.1:9/v2/\\": '
            'dial tcp 127.0.0.1:9: connect: refused"',
            "dial tcp 127.0.0.1:9: connect: refused",
        ),
        ('time="2026-11-23T01:49:39Z" level=fatal msg="unsupported digest"', "unsupported digest"),
        ("skopeo: command not found", "skopeo: command not found"),
        ("", ""),
    ],
)
def test_what_skopeo_says_is_told_without_the_reference(line: str, said: str) -> None:
    assert said_by_skopeo(line) == said
