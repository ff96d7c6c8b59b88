"""streamlit runs an app whose slider changes its answer, and serves it."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import sys
    import urllib.request
    from pathlib import Path

    from lib.process import free_port, running

    port = free_port()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    Path("app.py").write_text("import streamlit as st\nn = st.slider('n', 0, 10, 3)\nst.write('square', n * n)\n")
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(Path("app.py").resolve())).run(timeout=60)
    first = [one.value for one in app.markdown]
    then = [one.value for one in app.slider[0].set_value(7).run(timeout=60).markdown]
    if ("9" not in " ".join(first)) or ("49" not in " ".join(then)):
        raise AssertionError(f"it wrote {first}, then {then}")
    argv = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app.py",
        "--server.headless=true",
        "--server.address=127.0.0.1",
        f"--server.port={port}",
    ]

    def page(path: str) -> str:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read().decode()

    with running(argv, ready=lambda: page("/_stcore/health"), timeout=120):
        if "<title>Streamlit</title>" not in page("/"):
            raise AssertionError("no page")
    return {"wrote": then}


if __name__ == "__main__":
    run_check(__file__, check)
