"""The rows of compat.yaml: which one speaks for a version, and faults in them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from compat_world import (
    PATIENT,
    TODAY,
    TORCH,
    errors,
    load,
    overlay,
    write,
)
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dsvm import catalog as catalogs
from dsvm.gate.tables import Tables
from dsvm.model import Compat, FrameworkRow, InputError

NUMBERS = st.integers(0, 12)


@given(
    st.dictionaries(NUMBERS, st.one_of(st.none(), st.integers(1, 4)), min_size=1, max_size=5),
    st.tuples(st.integers(0, 14), st.integers(0, 3)),
)
def test_a_version_has_the_row_that_speaks_for_it(starts: dict[int, int | None], number: tuple[int, int]) -> None:
    """Against the same thing said one version at a time."""
    rows = [
        FrameworkRow(
            package="p", since=f"{since}.1", before=f"{since + more}.0" if more else None, source="s", date=TODAY
        )
        for since, more in starts.items()
    ]
    version = Version(f"{number[0]}.{number[1]}")
    at_or_before = [row for row in rows if Version(row.since) <= version]
    expected = max(at_or_before, key=lambda row: Version(row.since), default=None)
    if expected and expected.before and version >= Version(expected.before):
        expected = None
    got = Tables(Compat(frameworks=tuple(rows))).find("p", SpecifierSet(f"=={version}"))
    assert got == (expected,)


def test_every_row_of_the_project_has_a_known_source_and_a_date() -> None:
    rows = catalogs.load().compat
    members = [row for table in rows.tables.values() for row in table]
    assert len(members) > 50
    assert {row.source for row in members} == set(rows.sources)
    assert all(row.date <= date.today() for row in members)


def test_faults_in_rows_have_file_and_line_all_at_once(tmp_path: Path) -> None:
    overlay(tmp_path, {"pytorch": TORCH}, gpus=["v1000"])
    path = tmp_path / "compat.yaml"
    path.write_text(
        "gpus:\n"
        "  - {gpu: x1, sm: 75, source: nvidia-gpu, date: 2026-01-01}\n"
        "  - {gpu: x1, sm: 80, source: nvidia-gpus, date: 2026-01-01}\n"
    )
    with pytest.raises(InputError) as caught:
        catalogs.load([tmp_path])
    assert set(caught.value.faults) >= {
        f"{path}:2: unknown source 'nvidia-gpu' (did you mean 'nvidia-gpus'?)",
        f"{path}:3: gpus: a row for x1 stands above already",
    }
    assert any("unknown GPU 'v1000' (did you mean 'v100'?)" in fault for fault in caught.value.faults)
    path.write_text(
        "cuda:\n"
        "  - {cuda: 14, driver: 600, sm: 80, source: nvidia-gpus}\n"
        "frameworks:\n"
        "  - {package: p, since: new, source: jax, date: 2026-01-01}\n"
        "  - {package: p, since: '1', phyton: '>= 3', source: jax, date: 2026-01-01}\n"
        "  - {package: p, since: '2', python: 'three', source: jax, date: 2026-01-01}\n"
    )
    with pytest.raises(InputError) as caught:
        catalogs.load([tmp_path])
    for fault in (
        f"{path}:2: key 'date' is missing",
        f"{path}:4: 'new' is no version",
        f"{path}:5: unknown key 'phyton' (did you mean 'python'?)",
        f"{path}:6: 'three' is no range of versions, such as '>= 3.10, < 3.14'",
    ):
        assert fault in caught.value.faults


def test_a_folder_of_one_s_own_adds_rows_and_replaces_them(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH}, gpus=["v100", "mine1"])
    rows = {
        "sources": {"house": "our own measurements"},
        "gpus": [{"gpu": "mine1", "sm": 90, "source": "house", "date": TODAY}],
        "builds": [{"package": "torch", "cuda": "13.0", "sm": [70, 120], "source": "house", "date": TODAY}],
    }
    write(mine / "compat.yaml", PATIENT | rows)
    assert errors(mine) == []
    assert len(load(mine).compat.builds) == len(catalogs.load().compat.builds)
