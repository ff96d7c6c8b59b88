"""Which advisories speak of the same vulnerability: https://ossf.github.io/osv-schema/#aliases-field"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from dsvm.audit.advisories import ID, Advisory

# A distribution's own record of a CVE: DEBIAN-CVE-2024-1234
OWN_CVE = re.compile(r"[A-Z]+-(CVE-\d{4}-\d+)")
# Those that tell of updates, and name all vulnerabilities that one mends
BULLETIN = re.compile(r"(DSA|DLA|USN|RLSA|RXSA|ALSA|ALBA|ALEA|RHSA|RHBA|RHEA)-")
BEST_FIRST = ("CVE-", "GHSA-", "PYSEC-", "RSEC-", "JLSEC-", "MAL-")


def grouped(hits: Sequence[Advisory], others: Iterable[Advisory] = ()) -> list[tuple[list[Advisory], tuple[str, ...]]]:
    """Advisories that speak of the same, with all names of it, the best first.

    `others` only say what is called how else. A bulletin about several vulnerabilities goes to those that are among
    `hits`, and stands for itself when one of its own is not.
    """
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parents.setdefault(name, name)) != name:
            parents[name] = parents[above]
            name = parents[name]
        return name

    for advisory in (*hits, *others):
        for name in _same(advisory):
            parents[root(name)] = root(advisory.id)
    several = [one for one in hits if len(_mended(one)) > 1]
    groups: dict[str, list[Advisory]] = {}
    for advisory in hits:
        if advisory not in several:
            groups.setdefault(root(advisory.id), []).append(advisory)
    extra: dict[str, set[str]] = {}
    for bulletin in several:
        mended = {root(name) for name in _mended(bulletin)}
        if mended <= groups.keys():
            for name in mended:
                groups[name].append(bulletin)
        else:
            groups[bulletin.id] = [bulletin]
            extra[bulletin.id] = _mended(bulletin)
    names: dict[str, set[str]] = {}
    for name in list(parents):
        names.setdefault(root(name), set()).add(name)
    return [
        (group, _ordered({*names.get(key, ()), *extra.get(key, ()), *(one.id for one in group)}, extra.get(key)))
        for key, group in groups.items()
    ]


def _same(advisory: Advisory) -> set[str]:
    """Other names of what an advisory is about."""
    found = {one for one in advisory.aliases if re.fullmatch(ID, one)}
    mended = _mended(advisory)
    return found | mended if len(mended) == 1 else found


def _mended(advisory: Advisory) -> set[str]:
    """The vulnerabilities that a distribution's advisory names as those of others."""
    if own := OWN_CVE.fullmatch(advisory.id):
        return {own[1]}
    bulletin = BULLETIN.match(advisory.id)
    named = (*advisory.upstream, *(advisory.related if bulletin else ()))
    if bulletin or advisory.upstream:
        return {one for one in named if re.fullmatch(ID, one) and (not bulletin or one.startswith("CVE-"))}
    return set()


def _ordered(names: Iterable[str], mended: Iterable[str] | None) -> tuple[str, ...]:
    """The best name first; of a bulletin about several its own."""
    several = {*(mended or ())}
    ranks: Mapping[str, int] = {start: rank for rank, start in enumerate(BEST_FIRST)}

    def rank(name: str) -> tuple[bool, int, str]:
        start = next((start for start in BEST_FIRST if name.startswith(start)), "")
        return name in several, ranks.get(start, len(ranks)), name

    return tuple(sorted(names, key=rank))
