"""A layer is unpacked and hashed by another thread than the one that reads what is in it."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import closing

import pytest

from dsvm.ledger.image import SMALL, _Ahead


def test_all_of_it_counts_for_the_digest_and_all_of_it_can_be_read() -> None:
    data = os.urandom(1 << 16) * 600 + b"end"
    assert len(data) > 8 * SMALL
    with closing(_Ahead(io.BytesIO(data))) as layer:
        assert io.BufferedReader(layer).read() == data
    with closing(_Ahead(io.BytesIO(data))) as layer:
        stream = io.BufferedReader(layer, 100)
        assert stream.read(10) == data[:10]
        layer.exhaust()
        assert layer.digest.digest() == hashlib.sha256(data).digest()
        assert layer.read(1) == b""


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece:
            raise EOFError("cut off")
        return piece


def test_what_breaks_there_is_said_here_and_who_gives_up_does_not_wait() -> None:
    with closing(_Ahead(Broken(b"x" * 100))) as layer:
        assert layer.read(100) == b"x" * 100
        for _ in range(2):
            with pytest.raises(EOFError, match="cut off"):
                layer.read(1)

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return bytes(size or 0)

    with closing(_Ahead(Endless())) as layer:
        assert layer.read(3) == bytes(3)
    assert not layer.thread.is_alive()
