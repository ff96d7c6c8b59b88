"""JupyterLab's git extension is switched on and sees a change in a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lib.jupyter import application
from lib.outcome import run_check


def check() -> dict[str, object]:
    import jupyterlab_git

    subprocess.run(["git", "init", "--quiet", "repo"], check=True)
    Path("repo/new.txt").write_text("new")
    with application("jupyterlab") as client:
        answer = client.post("/git/repo/status", b"{}")
        if answer.status != 200:
            raise AssertionError(f"status of the repository: {answer.status} {answer.text[:200]}")
        changed = [one["to"] for one in answer.json()["files"]]
        if changed != ["new.txt"]:
            raise AssertionError(f"changed files {changed}")
        if "@jupyterlab/git" not in client.get("/lab").text:
            raise AssertionError("its part in the browser is not switched on")
    return {"version": jupyterlab_git.__version__, "changed": changed}


if __name__ == "__main__":
    run_check(__file__, check)
