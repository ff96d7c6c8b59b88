"""How severe an advisory is, by what it says itself: CVSS vectors, and words of databases and distributions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dsvm.audit.advisories import Advisory, Affected, Severity

Rating = Literal["critical", "high", "medium", "low"]
RATINGS: tuple[Rating, ...] = ("critical", "high", "medium", "low")
# https://www.first.org/cvss/v4.0/specification-document#Qualitative-Severity-Rating-Scale; 2.0 has no critical
FROM: tuple[tuple[float, Rating], ...] = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.0, "low"))
WORDS: dict[str, Rating] = {
    "critical": "critical",
    "important": "high",
    "high": "high",
    "moderate": "medium",
    "medium": "medium",
    "low": "low",
    "negligible": "low",
    "unimportant": "low",
}
# What a distribution says of its own package goes before what others think of the program:
# https://security-team.debian.org/security_tracker.html#severity-levels, https://ubuntu.com/security/cves/about#priority
HARMLESS = ("unimportant", "negligible")
VENDORS = r"(Critical|Important|Moderate|Low): "  # what a summary of Red Hat and those after it begins with
LONGEST = 500  # characters of a vector: the longest that the standard has is half of that


@dataclass(frozen=True)
class Judged:
    """A rating, and what it is by: 'CVSS 7.5', 'Debian: unimportant'; None where nobody says anything."""

    rating: Rating | None = None
    by: str = ""


def worst(judged: Iterable[Judged]) -> Judged:
    """The worst of several, but what is harmless in this distribution stays so."""
    known = [one for one in judged if one.rating is not None]
    harmless = next((one for one in known if one.by.partition(": ")[2] in HARMLESS), None)
    return harmless or min(known, key=lambda one: RATINGS.index(one.rating or "low"), default=Judged())


def judge_severity(advisory: Advisory, entry: Affected) -> Judged:
    """What an advisory says of one package: by the distribution, then CVSS, then words."""
    name = (entry.package.ecosystem if entry.package else "").partition(":")[0]
    words = [*_words(entry), *((one.type, one.score) for one in (*entry.severity, *advisory.severity))]
    for whose, word in words:
        if isinstance(word, str) and word.lower() in HARMLESS:
            return Judged("low", f"{name or whose}: {word.lower()}")
    for severities in (entry.severity, advisory.severity):
        if found := _by_cvss(severities):
            return found
    said = (advisory.database_specific or {}).get("severity")
    told = re.match(VENDORS, advisory.summary)
    for _, word in [*words, ("", said), ("", told[1] if told else None)]:
        rating = WORDS.get(word.lower()) if isinstance(word, str) else None
        if rating is not None:
            return Judged(rating, f"{name}: {str(word).lower()}")
    return Judged()


def _words(entry: Affected) -> list[tuple[str, object]]:
    found = [entry.ecosystem_specific or {}, entry.database_specific or {}]
    return [("", one[key]) for one in found for key in ("urgency", "severity", "priority") if key in one]


def _by_cvss(severities: Sequence[Severity]) -> Judged | None:
    """By the newest version of CVSS that there is a vector of; of several vectors by the worst."""
    from cvss import CVSS2, CVSS3, CVSS4
    from cvss.exceptions import CVSSError

    for kind, parse in (("CVSS_V4", CVSS4), ("CVSS_V3", CVSS3), ("CVSS_V2", CVSS2)):
        scores = []
        for one in severities:
            if one.type != kind or len(one.score) > LONGEST:
                continue
            try:
                vector = one.score.removeprefix("CVSS:2.0/") if kind == "CVSS_V2" else one.score
                scores.append(float(parse(vector).base_score))
            except (CVSSError, ValueError, KeyError, TypeError):
                continue
        if scores:
            score = max(scores)
            rating = next(rating for least, rating in FROM if score >= least)
            if kind == "CVSS_V2" and rating == "critical":
                rating = "high"
            return Judged(rating, f"CVSS {score}")
    return None
