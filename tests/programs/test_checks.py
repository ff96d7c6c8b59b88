"""The check scripts of the manifests: alike in shape, and red when their tool is missing or a stub."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
SCRIPTS = sorted(path for path in (MANIFESTS / "checks").iterdir() if path.is_file())
LIB = sorted((MANIFESTS / "checks" / "lib").glob("*.py"))
# code-server's checks import nothing: they start the program itself.
OURS = [path for path in SCRIPTS if not path.name.startswith("code_server")]
# What each check that starts a program must find on PATH; without it the check must fail, with a stub of it too.
PROGRAMS = {
    "anaconda_regression": "conda",
    "aws_cli_s3": "aws",
    "azure_cli_rest": "az",
    "compilers": "cmake",
    "conda_environment": "conda",
    "cudnn_program": "nvcc",
    "cudnn_softmax": "nvcc",
    "curl_loopback": "curl",
    "desktop_session": "xvfb-run",
    "docker_cli_engine": "docker",
    "fabric_manager": "dsvm-has-nvswitch",
    "fonts_match": "fc-match",
    "git_clone": "git",
    "git_lfs_track": "git",
    "http_proxy_routes": "configurable-http-proxy",
    "java_program": "javac",
    "jupyterhub_login": "sudo",
    "locale_utf8": "locale",
    "nccl_allreduce": "nvcc",
    "nccl_program": "nvcc",
    "nodejs_module": "node",
    "nvcc_compile": "nvcc",
    "nvcc_libraries": "nvcc",
    "nvidia_container_toolkit": "nvidia-ctk",
    "nvidia_driver": "modinfo",
    "pandoc_convert": "pandoc",
    "postgresql_server": "psql",
    "psql_commands": "psql",
    "rstudio_app": "dsvm-rstudio",
    "spark_submit": "spark-submit",
    "sqlite_transactions": "sqlite3",
    "sudo_switch": "sudo",
    "tini_init": "tini",
    "vscode_window": "code",
}
INTERPRETERS = {".py": sys.executable, ".sh": shutil.which("bash") or "bash"}
PYTHON = [path for path in OURS if path.suffix == ".py" and path.stem not in PROGRAMS]
# asks the PCI bus first, and has nothing to say where there is no GPU
GPU_ONLY = "nvidia_smi"
STARTS = [path for path in OURS if path.stem != GPU_ONLY and (path.suffix == ".sh" or path.stem in PROGRAMS)]
R = [path for path in OURS if path.suffix == ".R"]


def ids(path: Path) -> str:
    return path.name


def verdict(script: Path, argv: list[str], *, cwd: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """What a script says that must fail: exit code 1, words on stderr, one JSON object as the last line."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert said["check"] == script.stem
    assert said["ok"] is False
    assert said["reason"] and said["reason"].splitlines()[0] in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return said


def imports(script: Path) -> Iterator[str]:
    """Dotted names of the modules that a script imports."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def frameworks(script: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(script)} - set(sys.stdlib_module_names) - {"lib"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_every_script_belongs_to_a_tool_and_every_tool_has_its_scripts() -> None:
    tools = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (MANIFESTS / "tools").glob("*.yaml")]
    wanted = {check["script"] for tool in tools for check in tool["checks"] if "script" in check}
    assert wanted == {f"checks/{path.name}" for path in SCRIPTS}


@pytest.mark.parametrize("script", PYTHON, ids=ids)
def test_python_check_imports_what_it_checks(script: Path) -> None:
    assert frameworks(script), "this check would pass without its tool"


def test_no_script_hides_a_module() -> None:
    # Python puts a script's own folder first: a check named like a module would import itself.
    names = {name.split(".")[0] for script in PYTHON for name in imports(script)}
    assert not names & {script.stem for script in PYTHON}


@pytest.mark.parametrize("module", LIB, ids=ids)
def test_lib_runs_in_every_image(module: Path) -> None:
    """By the Python of Rocky Linux 9 too, and with nothing installed."""
    ast.parse(module.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert not frameworks(module)


def test_lib_is_found_beside_the_scripts_before_any_other(work: Path, tmp_path: Path) -> None:
    """A package that an image has under this name, or a user in the folder of now, is not taken for it."""
    for folder in (work, tmp_path):
        (folder / "lib").mkdir()
        (folder / "lib" / "__init__.py").write_text("raise SystemExit(0)\n")
    script = MANIFESTS / "checks" / "requests_loopback.py"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    said = verdict(script, [sys.executable, "-S", str(script)], cwd=work, env=env)
    assert said["reason"] == "ModuleNotFoundError: No module named 'requests'"


@pytest.mark.parametrize("script", PYTHON, ids=ids)
def test_python_check_fails_without_its_tool(script: Path, work: Path) -> None:
    said = verdict(script, [sys.executable, "-E", "-s", "-S", str(script)], cwd=work, env={"PATH": os.environ["PATH"]})
    assert said["reason"].startswith("ModuleNotFoundError")


@pytest.mark.parametrize("script", PYTHON, ids=ids)
def test_python_check_fails_with_a_stub_of_its_tool(script: Path, work: Path, tmp_path: Path) -> None:
    for name in frameworks(script):
        (tmp_path / "stubs" / name).mkdir(parents=True)
        (tmp_path / "stubs" / name / "__init__.py").write_text("__version__ = '99'\n")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "stubs")}
    verdict(script, [sys.executable, "-S", str(script)], cwd=work, env=env)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH that has all ordinary programs."""
    folder = tmp_path_factory.mktemp("programs")
    for place in ("/bin", "/usr/bin"):
        for path in Path(place).iterdir():
            link = folder / path.name
            if not link.is_symlink():
                link.symlink_to(path)
    return folder


@contextmanager
def lacking(program: str, folder: Path) -> Iterator[None]:
    """For so long `folder` has all its programs but this one."""
    link = folder / program
    target = link.readlink() if link.is_symlink() else None
    link.unlink(missing_ok=True)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)
        if target is not None:
            link.symlink_to(target)


@pytest.mark.parametrize("script", STARTS, ids=ids)
@pytest.mark.parametrize("stub", [False, True], ids=["missing", "stub"])
def test_check_fails_without_the_program_that_it_starts(script: Path, stub: bool, work: Path, programs: Path) -> None:
    program = PROGRAMS[script.stem]
    if script.stem == "sudo_switch" and "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        pytest.skip("sudo cannot be tried here: new privileges are forbidden")
    with lacking(program, programs):
        if stub:
            (programs / program).write_text("#!/bin/sh\nexit 0\n")
            (programs / program).chmod(0o755)
        env = {"PATH": str(programs), "HOME": str(work), "LANG": "C.UTF-8"}
        verdict(script, [INTERPRETERS[script.suffix], str(script)], cwd=work, env=env)


@pytest.mark.skipif(Path("/sys/module/nvidia").exists(), reason="there is a driver of NVIDIA's")
def test_the_driver_is_not_exercised_without_a_gpu(work: Path) -> None:
    script = MANIFESTS / "checks" / f"{GPU_ONLY}.sh"
    done = subprocess.run([INTERPRETERS[".sh"], script], cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 77
    assert json.loads(done.stdout) == {"check": GPU_ONLY, "reason": "no GPU"}


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
@pytest.mark.parametrize("script", R, ids=ids)
def test_r_check_fails_without_its_packages(script: Path, work: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(work), "R_DEFAULT_PACKAGES": "NULL", "R_LIBS_SITE": "/nowhere"}
    verdict(script, ["Rscript", "--no-environ", str(script)], cwd=work, env=env)
