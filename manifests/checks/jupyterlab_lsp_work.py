"""the language server answers with completions as the editor asks, and JupyterLab knows it and has what asks."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import json
    import subprocess
    import sys
    from pathlib import Path

    from jupyter_lsp import LanguageServerManager

    manager = LanguageServerManager()
    manager.initialize()
    if "pylsp" not in manager.language_servers:
        raise AssertionError(f"JupyterLab knows {sorted(manager.language_servers)}")
    page = Path(sys.prefix, "share/jupyter/labextensions/@jupyter-lsp/jupyterlab-lsp")
    about = json.loads((page / "package.json").read_text())
    if not (page / about["jupyterlab"]["_build"]["load"]).is_file():
        raise AssertionError("JupyterLab's pages have no extension for it")
    text = "import json\njson.dum"
    place = {"textDocument": {"uri": "file:///x.py"}, "position": {"line": 1, "character": 8}}
    document = {"uri": "file:///x.py", "languageId": "python", "version": 1, "text": text}
    calls = [
        {"id": 1, "method": "initialize", "params": {"processId": None, "rootUri": None, "capabilities": {}}},
        {"method": "textDocument/didOpen", "params": {"textDocument": document}},
        {"id": 2, "method": "textDocument/completion", "params": place},
    ]
    with subprocess.Popen([sys.executable, "-m", "pylsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        for call in calls:
            body = json.dumps({"jsonrpc": "2.0", **call}).encode()
            server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        server.stdin.flush()
        answer: dict[str, object] = {}
        while answer.get("id") != 2:
            size = 0
            while line := server.stdout.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    size = int(line.partition(b":")[2])
            if not size:
                raise AssertionError("the server ended")
            answer = json.loads(server.stdout.read(size))
        server.kill()
    labels = {one["label"].partition("(")[0] for one in answer["result"]["items"]}
    if not {"dump", "dumps"} <= labels:
        raise AssertionError(f"completions {labels}")
    return {"completions": sorted(labels)}


if __name__ == "__main__":
    run_check(__file__, check)
