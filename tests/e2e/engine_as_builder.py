"""An engine's own BuildKit as a builder of the driver `remote`, where no image of BuildKit is to be had."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

# https://github.com/moby/moby/blob/v26.1.5/client/hijack.go: the engine speaks gRPC on a connection that asks for it
UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def serving(engine: Path) -> Iterator[str]:
    """Serve the BuildKit of the engine behind the socket `engine` on loopback; its address, `tcp://HOST:PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, engine), daemon=True).start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            # else the thread that waits for clients would keep the port
            server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, engine: Path) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_relay, args=(client, engine), daemon=True).start()


def _relay(client: socket.socket, engine: Path) -> None:
    with client, socket.socket(socket.AF_UNIX) as upstream:
        upstream.connect(str(engine))
        upstream.sendall(UPGRADE)
        answer = b""
        while b"\r\n\r\n" not in answer and (more := upstream.recv(4096)):
            answer += more
        status, _, rest = answer.partition(b"\r\n\r\n")
        if b" 101 " not in status.partition(b"\r\n")[0]:
            return
        client.sendall(rest)
        back = threading.Thread(target=_copy, args=(upstream, client), daemon=True)
        back.start()
        _copy(client, upstream)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
