"""The matrix of `invoke list`: a state for every tool in every variant, readable in a narrow terminal."""

from __future__ import annotations

import itertools
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from dsvm import catalog as catalogs
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.model import EngineError, LeftOut, Lock, Variant
from dsvm.model.tools import When
from dsvm.screen import doctor, matrix, variants
from dsvm.session import Session

ROOT = Path(__file__).parents[2]


def states_of(catalog: Catalog, variant: Variant, lock: Lock | None) -> dict[str, str]:
    """Tool -> what stands in its cell of the matrix before that is made to fit."""
    found = variants.tool_states(catalog, variant, lock)
    assert all((one.version is None) == (one.state != "locked") for one in found.values())
    return {name: matrix.word(one) for name, one in found.items()}


def test_every_state_of_a_tool() -> None:
    catalog = tiny.catalog()
    lock = tiny.lock()
    variant = catalog.variants["tiny"]
    assert states_of(catalog, variant, None) == dict.fromkeys(variant.tools, "wanted")
    versions = {"arrays": "1.4.0", "notebooks": "2.1", "editor": "1.2"}
    assert states_of(catalog, variant, lock) == versions
    asked = lock.model_copy(update={"left_out": (LeftOut(tool="editor", reason="on request"),)})
    assert states_of(catalog, variant, asked)["editor"] == "out"
    fewer = variant.model_copy(update={"tools": ("arrays",)})
    assert states_of(catalog, fewer, lock) == {"arrays": "1.4.0", "notebooks": "-", "editor": "-"}
    elsewhere = replace(
        catalog, bases={"tiny-12": catalog.bases["tiny-12"].model_copy(update={"ecosystems": ("url", "apt")})}
    )
    assert states_of(elsewhere, variant, None) == {"arrays": "none", "notebooks": "none", "editor": "wanted"}
    editor = catalog.tools["editor"].model_copy(update={"formats": ("ami",)})
    machines = replace(catalog, tools={**catalog.tools, "editor": editor})
    assert states_of(machines, variant, None)["editor"] == "VM only"
    assert states_of(machines, fewer, None)["editor"] == "VM only", "nobody wonders why it is not here"


# What this project promises to bring, in words of people, and the tools that are meant by them.
PROMISED = {
    "NVIDIA driver": ["nvidia-driver"],
    "CUDA toolkit and libraries": ["cuda-toolkit"],
    "cuDNN": ["cudnn"],
    "NCCL": ["nccl"],
    "NVIDIA container toolkit": ["nvidia-container-toolkit"],
    "Fabric Manager": ["fabric-manager"],
    "Python by conda": ["conda", "anaconda"],
    "R": ["r", "irkernel"],
    "CRAN packages": ["tidyverse", "data-table", "glmnet", "caret"],
    "OpenBLAS": ["openblas"],
    "Julia": ["julia"],
    "Jupyter": ["jupyterlab", "notebook", "jupyterhub"],
    "VS Code": ["vscode", "code-server"],
    "RStudio Server": ["rstudio"],
    "gradient boosting": ["xgboost", "lightgbm", "catboost"],
    "PyTorch": ["pytorch", "torchvision", "torchaudio", "lightning"],
    "TensorFlow": ["tensorflow", "keras"],
    "JAX": ["jax"],
    "ONNX Runtime": ["onnxruntime"],
    "Hugging Face": ["transformers", "datasets"],
    "Spark and Dask": ["spark", "dask"],
    "databases": ["postgresql", "postgresql-client", "sqlite", "duckdb"],
    "Git and clouds": ["git", "docker-cli", "azure-cli", "aws-cli"],
    "languages": ["nodejs", "openjdk"],
}
RETIRED = ["microsoft-r-open", "microsoft-ml-server", "r-server", "cntk", "caffe2", "mxnet", "theano", "chainer"]


def test_whatever_is_promised_has_a_state_with_a_reason_in_every_variant() -> None:
    catalog = catalogs.load()
    tools = [tool for tools in PROMISED.values() for tool in tools]
    assert [tool for tool in tools if tool not in catalog.tools] == []
    words = set(matrix.WORDS.values())
    assert all(f"{word}:" in matrix.LEGEND or f"{word} or " in matrix.LEGEND for word in words)
    for name, variant in catalog.variants.items():
        lock = locks.find(catalog, name)
        reasons = {left.tool for left in (*(lock.left_out if lock else ()), *locks.unsuited(catalog, variant))}
        states = states_of(catalog, variant, lock)
        for tool in tools:
            state = states[tool]
            assert re.match(r"\d", state) or state in words, f"{tool} in {name}: {state!r}"
            assert state != matrix.WORDS["left_out"] or tool in reasons, (
                f"{tool} in {name} is left out without a reason"
            )
        if name in ("cpu-ubuntu", "gpu-ubuntu"):
            # Anaconda's terms are for users to accept; Julia comes with what the others extend; of what only machines
            # have, JupyterHub is for those who ask for it, and the others' makers could not be reached
            absent = {tool for tool in tools if states[tool] == matrix.WORDS["not_named"]}
            known = {"anaconda", "julia", "jupyterhub", "vscode", "nvidia-container-toolkit"}
            assert absent <= known, f"{name} lacks {absent}"


def test_what_was_once_shipped_is_known_as_retired() -> None:
    catalog = catalogs.load()
    assert [tool for tool in RETIRED if tool not in catalog.retired] == []


def test_a_tool_that_no_image_of_a_variant_can_have_says_why() -> None:
    catalog = tiny.catalog()
    variant = catalog.variants["tiny"].model_copy(update={"tools": ("arrays",)})

    def state(**changes: object) -> str:
        editor = catalog.tools["editor"]
        source = editor.sources[0].model_copy(update=changes)
        changed = replace(catalog, tools={"editor": editor.model_copy(update={"sources": (source,)})})
        return states_of(changed, variant, None)["editor"]

    assert state() == "-"
    assert state(when=When(accelerator="gpu")) == "for GPU"
    assert state(when=When(base=("elsewhere",))) == "none"
    assert state(formats=("qcow2",)) == "VM only"


@pytest.mark.parametrize(
    ("state", "cell"),
    [("4.139.1", "4.139.1"), ("17.0.21.1", "17.0.21"), ("4.2.2.20221110", "4.2.2"), ("20230311", "2023031")],
)
def test_a_long_version_is_cut_between_its_numbers(state: str, cell: str) -> None:
    assert matrix.cell(state) == cell


def listed(*words: str, columns: int) -> list[str]:
    """What `invoke list` prints on a terminal of so many columns, without colours."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "PYTHONPATH": str(ROOT), "TERM": "xterm", "DOCKER_HOST": "unix:///no"}
    argv = [sys.executable, "-m", "invoke", "list", *words]
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        text = b""
        try:
            while part := os.read(ours, 65536):
                text += part
        except OSError:  # the terminal's other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0, text.decode()
    return re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).splitlines()


def test_the_matrix_of_all_variants_fits_a_terminal_of_100_columns_and_names_every_tool() -> None:
    lines = listed(columns=100)
    catalog = catalogs.load()
    end = next(number for number, line in enumerate(lines) if line.startswith("A version"))
    starts = [number for number, line in enumerate(lines) if line.startswith("Tools")]
    heads: list[str] = []
    rows: dict[str, list[str]] = {}
    for start, stop in itertools.pairwise([*starts, end]):  # as many tables as the variants need
        table = [line.rstrip() for line in lines[start:stop]]
        assert max(map(len, table)) <= 100
        heads += [word for word in table[2].split() if word not in ("what", "it", "is")]
        for line in table:
            if line.startswith(" ") and line.split():
                name, *states = re.split(r"\s{2,}", line.strip())
                rows.setdefault(name, []).extend(states)
    assert heads == [name.partition("-")[2] for name in sorted(catalog.variants)], "no head is cut"
    assert set(catalog.tools) <= set(rows)
    assert not set(catalog.retired) & set(rows)
    assert len(rows["numpy"]) >= len(catalog.variants), rows["numpy"]
    hub = rows["jupyterhub"][: len(catalog.variants)]

    def of_machines_only(formats: Sequence[str]) -> str:
        """What none of these variants asks for and a container cannot have."""
        if "docker" not in formats:
            return "none"
        return "VM only" if set(formats) == {"docker"} else "-"

    assert hub == [of_machines_only(variant.formats) for _, variant in sorted(catalog.variants.items())]


def test_a_tool_and_a_variant_from_outside(tmp_path: Path) -> None:
    """One YAML file adds a tool; another one, an image that has it beside what cpu-debian has."""
    mine = tmp_path / "mine"
    for name in ("tools", "variants"):
        (mine / name).mkdir(parents=True)
    (mine / "tools/igraph.yaml").write_text(
        """
tool: igraph
summary: Graphs and networks
homepage: https://python.igraph.org
license: GPL-2.0-or-later
group: graphs
sources:
  - pypi: [igraph ~= 1.0]
checks:
  - version: python -c "import igraph; print(igraph.__version__)"
  - run: python -c "import igraph; print(igraph.Graph.Ring(10).distances(0, 5)[0][0])"
    expect: ^5$
"""
    )
    (mine / "variants/graphs.yaml").write_text("variant: graphs\nextends: cpu-debian\ntools: [igraph]\n")
    lines = listed("--catalog", str(mine), columns=160)
    row = next(line for line in lines if line.startswith(" igraph "))
    variants = sorted([*catalogs.load().variants, "graphs"])
    states = row.split()[1 : len(variants) + 1]
    assert states == ["wanted" if name == "graphs" else "-" for name in variants]
    assert row.rstrip().endswith("Graphs and networks")
    shutil.rmtree(mine / "tools")
    argv = [sys.executable, "-m", "invoke", "list", "--catalog", str(mine)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{mine}/variants/graphs.yaml:3: unknown tool 'igraph'" in done.stderr


def test_doctor_asks_for_the_keyrings_of_the_bases_in_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ring = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
    monkeypatch.setenv("PATH", str(tmp_path))  # no engine to ask

    def said(variant: str | None) -> str:
        with pytest.raises(EngineError, match=r"missing: .*docker client"):
            doctor.show_doctor(Session(print, print), variant)
        return capsys.readouterr().out

    assert ring in said("cpu-ubuntu")
    assert ring not in said("cpu-debian")
    assert ring in said(None) and "debian-archive-keyring" in said(None)
