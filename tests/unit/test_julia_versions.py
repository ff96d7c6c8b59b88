"""Versions of Julia packages, and ranges as registries and as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsvm.ecosystems.julia.versions import Version, allowed, compat, registry_range, registry_ranges

NUMBER = st.integers(0, 4)
NUMBERS = st.lists(NUMBER, min_size=1, max_size=3).map(tuple)
VERSIONS = st.tuples(NUMBER, NUMBER, NUMBER).map(lambda numbers: Version(".".join(map(str, numbers))))


def dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def padded(numbers: tuple[int, ...], what: int = 0) -> tuple[int, ...]:
    return (*numbers, what, what, what)[:3]


# https://pkgdocs.julialang.org/v1/compatibility/: everything from the second column on, up to the third
@pytest.mark.parametrize(
    ("text", "first", "beyond"),
    [
        ("1.6", "1.6.0", "2.0.0"), ("^1.2.3", "1.2.3", "2.0.0"), ("^1.2", "1.2.0", "2.0.0"), ("^1", "1.0.0", "2.0.0"),
        ("^0.2.3", "0.2.3", "0.3.0"), ("^0.0.3", "0.0.3", "0.0.4"), ("^0.0", "0.0.0", "0.1.0"),
        ("^0", "0.0.0", "1.0.0"), ("~1.2.3", "1.2.3", "1.3.0"), ("~1.2", "1.2.0", "1.3.0"), ("~1", "1.0.0", "2.0.0"),
        ("~0.2.3", "0.2.3", "0.3.0"), ("~0.0.3", "0.0.3", "0.1.0"), ("~0.0", "0.0.0", "0.1.0"),
        ("~0", "0.0.0", "1.0.0"), ("=1.2.3", "1.2.3", "1.2.4"), ("< 1.2.3", "0.0.0", "1.2.3"),
        ("<2", "0.0.0", "2.0.0"), ("<1.2", "0.0.0", "1.2.0"),
        ("0.2.3 - 4.5", "0.2.3", "4.6.0"), ("1.2.3 - 4.5.6", "1.2.3", "4.5.7"), ("0.7 - 1", "0.7.0", "2.0.0"),
    ],
)  # fmt: skip
def test_compat_says_what_the_documentation_says(text: str, first: str, beyond: str) -> None:
    ranges = compat(text)
    assert allowed(ranges, Version(first))
    assert not allowed(ranges, Version(beyond))
    every = [Version(f"{major}.{minor}.{patch}") for major in range(6) for minor in range(8) for patch in range(8)]
    assert [one for one in every if allowed(ranges, one)] == [
        one for one in every if Version(first) <= one < Version(beyond)
    ]


def test_compat_without_an_end_and_with_commas() -> None:
    assert allowed(compat(">= 1.2"), Version("99.0.0"))
    assert allowed(compat("≥1.2"), Version("1.2.0"))
    assert not allowed(compat(">=1.2"), Version("1.1.9"))
    assert [text for text in ("0.3.9", "0.5.1", "0.6.0", "1.4.0") if allowed(compat("0.5, 1"), Version(text))] == [
        "0.5.1",
        "1.4.0",
    ]


@pytest.mark.parametrize(
    "text",
    ["", " ", "1.", ".1", "1.2.3.4", "1..2", "x", "^", "> 1", "<= 1", "==1", "1-2", "1 -2", "1 - ", "0.0.0", "< 0",
     "< 0.0", "1,", "1 2", "1.2.3-rc1", "1.2; id", "$(id)", "1\nRUN x"],
)  # fmt: skip
def test_compat_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="version"):
        compat(text)


@given(NUMBERS, VERSIONS)
def test_a_caret_keeps_the_first_number_that_is_not_zero(bound: tuple[int, ...], version: Version) -> None:
    if bound == (0, 0, 0):
        return
    kept = next((place for place, number in enumerate(bound) if number), len(bound) - 1)
    wanted = version.release >= padded(bound) and version.release[: kept + 1] == bound[: kept + 1]
    assert allowed(compat(f"^{dotted(bound)}"), version) == allowed(compat(dotted(bound)), version) == wanted


@given(NUMBERS, VERSIONS)
def test_a_tilde_keeps_all_numbers_but_the_third(bound: tuple[int, ...], version: Version) -> None:
    if bound == (0, 0, 0):
        return
    kept = min(len(bound), 2)
    wanted = version.release >= padded(bound) and version.release[:kept] == bound[:kept]
    assert allowed(compat(f"~{dotted(bound)}"), version) == wanted


@given(NUMBERS, VERSIONS)
def test_an_inequality_is_that_of_numbers(bound: tuple[int, ...], version: Version) -> None:
    assert allowed(compat(f">= {dotted(bound)}"), version) == (version.release >= padded(bound))
    assert allowed(compat(f"= {dotted(bound)}"), version) == (version.release == padded(bound))
    if any(bound):
        assert allowed(compat(f"< {dotted(bound)}"), version) == (version.release < padded(bound))


@given(NUMBERS, NUMBERS, VERSIONS)
def test_a_hyphen_counts_as_many_numbers_as_there_are(
    lower: tuple[int, ...], upper: tuple[int, ...], version: Version
) -> None:
    wanted = padded(lower) <= version.release <= padded(upper, 99)
    assert allowed(compat(f"{dotted(lower)} - {dotted(upper)}"), version) == wanted
    assert allowed(registry_ranges(f"{dotted(lower)}-{dotted(upper)}"), version) == wanted
    assert str(registry_range(str(registry_range(f"{dotted(lower)}-{dotted(upper)}")))) == (
        dotted(lower) if lower == upper else f"{dotted(lower)}-{dotted(upper)}"
    )


@given(NUMBERS, VERSIONS)
def test_a_registry_s_number_is_everything_that_begins_with_it(bound: tuple[int, ...], version: Version) -> None:
    assert allowed(registry_ranges(dotted(bound)), version) == (version.release[: len(bound)] == bound)
    assert allowed(registry_ranges(f"{dotted(bound)}-*"), version) == (version.release >= padded(bound))
    assert allowed(registry_ranges([dotted(bound), "*"]), version)


@pytest.mark.parametrize("text", ["", "1-2-3", "^1", "1.2.3.4", "a", "1-", "-1", "1 .2"])
def test_a_registry_has_no_other_ranges(text: str) -> None:
    with pytest.raises(ValueError, match="no range"):
        registry_range(text)


@given(
    st.permutations(["0.9.10", "1.0.0-rc1", "1.0.0-rc.2", "1.0.0", "1.0.0+0", "1.0.0+1", "1.0.0+10", "1.0.1", "1.10.0"])
)
def test_versions_have_julia_s_order(shuffled: list[str]) -> None:
    words = [str(one) for one in sorted(map(Version, shuffled))]
    before = {"1.0.0-rc.2", "1.0.0-rc1"}
    assert words[0] == "0.9.10"
    assert set(words[1:3]) == before
    assert words[3:] == ["1.0.0", "1.0.0+0", "1.0.0+1", "1.0.0+10", "1.0.1", "1.10.0"]


@pytest.mark.parametrize("text", ["1", "1.2", "1.2.3.4", "", "x", "1.2.3-", "../1.2.3"])
def test_a_version_has_three_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="no version"):
        Version(text)
