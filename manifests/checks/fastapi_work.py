"""fastapi serves a model on loopback by uvicorn, refuses wrong input, and describes itself."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import json
    import sys
    import urllib.error
    import urllib.request
    from pathlib import Path

    import fastapi
    from lib.process import free_port, running

    port = free_port()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    Path("service.py").write_text(
        "from fastapi import FastAPI\nfrom pydantic import BaseModel\n\napp = FastAPI()\n\n\n"
        "class Point(BaseModel):\n    x: float\n\n\n"
        "@app.post('/square')\ndef square(point: Point) -> dict[str, float]:\n    return {'y': point.x**2}\n"
    )

    def ask(path: str, data: object = None) -> dict[str, object]:
        body = None if data is None else json.dumps(data).encode()
        url = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
        with opener.open(url, timeout=10) as answer:
            return json.load(answer)

    argv = [sys.executable, "-m", "uvicorn", "service:app", "--host", "127.0.0.1", "--port", str(port)]
    with running(argv, ready=lambda: ask("/openapi.json"), timeout=60):
        found, paths = ask("/square", {"x": 3}), ask("/openapi.json")["paths"]
        try:
            ask("/square", {"x": "three"})
        except urllib.error.HTTPError as error:
            refused = error.code
        else:
            refused = 200
    if (found, list(paths), refused) != ({"y": 9.0}, ["/square"], 422):
        raise AssertionError(f"answer {found}, paths {list(paths)}, wrong input {refused}")
    return {"refused": refused, "fastapi": fastapi.__version__}


if __name__ == "__main__":
    run_check(__file__, check)
