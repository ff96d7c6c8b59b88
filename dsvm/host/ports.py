"""Ports of this host's loopback."""

from __future__ import annotations

import socket
import time
from http.client import HTTPConnection, HTTPException

from dsvm.model import EngineError


def free_port(wanted: int = 0) -> int:
    """A TCP port that is free on loopback now: `wanted` when it is. Raises EngineError when there is none."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EngineError("no free port on loopback")


def answers(port: int, timeout: float) -> bool:
    """Whether something speaks HTTP on a port of loopback within `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        link = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            link.request("HEAD", "/")
            link.getresponse()
        except (OSError, HTTPException):
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        else:
            return True
        finally:
            link.close()
