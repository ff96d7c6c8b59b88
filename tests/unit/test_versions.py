from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsvm.model import upstream_version
from dsvm.model.versions import printed_versions, same_version

releases = st.lists(st.integers(0, 3000), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("1:2.39.5-0+deb12u2", "2.39.5"),
        ("7.88.1-10+deb12u12", "7.88.1"),
        ("2.10.4+dfsg-2", "2.10.4"),
        ("1.9.13p3-1+deb12u1", "1.9.13p3"),
        ("20.10.24+dfsg1-1+deb12u1+b2", "20.10.24"),
        ("3.0.1~ds1-4", "3.0.1"),
        ("2.0+really1.4.2-3", "1.4.2"),
        ("1.2~rc1-1", "1.2rc1"),
        ("17.0.15+6-1~deb12u1", "17.0.15+6"),
        ("2.17.1.1-2~deb12u1", "2.17.1.1"),
        ("12.9", "12.9"),
        # other registries' versions have none of that
        ("2.13.0+cpu", "2.13.0+cpu"),
        ("1.0.0-beta.1", "1.0.0-beta.1"),
        ("2.0.0rc1.post2.dev3", "2.0.0rc1.post2.dev3"),
    ],
)
def test_upstream_version(debian: str, upstream: str) -> None:
    assert upstream_version(debian) == upstream


@given(
    releases,
    st.one_of(st.none(), st.integers(0, 9)),
    st.sampled_from(["", "+dfsg", "+dfsg1", "~ds", "+ds2", "+repack"]),
    st.sampled_from(["", "-1", "-0+deb12u3", "-2~bpo12+1", "-0ubuntu0.1"]),
)
def test_upstream_version_undoes_debian(release: str, epoch: int | None, repacked: str, revision: str) -> None:
    debian = f"{'' if epoch is None else f'{epoch}:'}{release}{repacked}{revision}"
    assert upstream_version(debian) == release
    assert upstream_version(upstream_version(debian)) == release


@pytest.mark.parametrize(
    ("output", "locked"),
    [
        ("git version 2.39.5", "1:2.39.5-0+deb12u2"),
        ("git-lfs/3.3.0 (Debian 3.3.0-1; linux amd64; go 1.19.8)", "3.3.0-1+deb12u1"),
        ("Sudo version 1.9.13p3\nSudoers policy plugin version 1.9.13p3", "1.9.13p3-1+deb12u1"),
        ('openjdk version "17.0.15" 2025-04-15', "17.0.15+6-1~deb12u1"),
        ("jq-1.6", "1.6-2.1"),
        ("v24.1.0", "24.1.0"),
        ("R version 4.2.2 Patched (2022-11-10 r83330)", "4.2.2-1"),
        ("4.139.1 8b3a2f8 with Code 1.106.0", "4.139.1"),
        ("2.13.0+cpu", "2.13.0"),
        ("2.13.0", "2.13.0+cpu"),
        ("2.1", "2.1.0"),
        ("1.0.0-beta.1", "1.0.0-beta.1"),
        ("conda 26.3.2-3", "26.3.2-3"),
        ("version 2.1.", "2.1"),
    ],
)
def test_output_names_the_locked_version(output: str, locked: str) -> None:
    assert any(same_version(one, locked) for one in printed_versions(output))


@pytest.mark.parametrize(
    ("output", "locked"),
    [
        ("12.1.0", "2.1.0"),
        ("2.1.01.5", "2.1.0"),
        ("2.10.0", "2.1.0"),
        ("2.1.0.1", "2.1.0"),
        ("2.1.0rc1", "2.1.0"),
        ("2.1.0.dev1", "2.1.0"),
        ("2.13.0+cu130", "2.13.0+cpu"),
        ("build12.1", "2.1"),
        ("", "2.1.0"),
        ("no version here", "2.1.0"),
    ],
)
def test_a_substring_is_not_a_version(output: str, locked: str) -> None:
    assert not any(same_version(one, locked) for one in printed_versions(output))


@given(releases, releases)
def test_equal_exactly_when_the_numbers_are(left: str, right: str) -> None:
    numbers = [[int(part) for part in one.split(".")] for one in (left, right)]
    padded = [(one + [0] * 4)[:4] for one in numbers]
    assert same_version(left, right) == (padded[0] == padded[1])


@given(releases, st.integers(1, 4))
def test_parts_compares_only_so_many_numbers(release: str, parts: int) -> None:
    numbers = [*map(int, release.split(".")), 0, 0, 0, 0]
    same = ".".join(map(str, [*numbers[:parts], 77]))
    other = ".".join(map(str, [*numbers[: parts - 1], numbers[parts - 1] + 1]))
    assert same_version(same, f"1:{release}-2", parts=parts)
    assert not same_version(other, release, parts=parts)


@given(st.text(), st.text(), st.one_of(st.none(), st.integers(1, 3)))
def test_any_text_is_taken(output: str, locked: str, parts: int | None) -> None:
    assert all(isinstance(same_version(one, locked, parts=parts), bool) for one in printed_versions(output))
