"""Licenses as SPDX writes them: https://spdx.github.io/spdx-spec/v3.0.1/annexes/spdx-license-expressions/"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, cast

from license_expression import ExpressionError, ExpressionParseError, Licensing, get_spdx_licensing
from pydantic import AfterValidator, Field, StringConstraints

from dsvm.model.common import Line, Model, is_empty, is_false, is_none

# a license that SPDX has no name for, by a name of one's own
OWN = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")
# what the parser of expressions raises for some that are none, such as `()`
BROKEN = (AssertionError, AttributeError, IndexError, TypeError)
DEEPEST = 50  # brackets in brackets
LONGEST = 20_000  # characters of an expression: a distribution's package may have a hundred licences


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()


def _depth(text: str) -> int:
    deep = most = 0
    for sign in re.findall(r"[()]", text):
        deep += 1 if sign == "(" else -1
        most = max(most, deep)
    return most


@cache
def _is_expression(text: str) -> str:
    """`text`; ValueError with what is wrong when it is no SPDX license expression."""
    licensing = _licensing()
    if text in licensing.known_symbols:
        return text
    try:
        if _depth(text) > DEEPEST:
            raise RecursionError
        parsed = licensing.parse(text)
        unknown = [] if parsed is None else [str(one) for one in licensing.unknown_license_keys(parsed)]
    except (ExpressionError, ExpressionParseError, RecursionError, *BROKEN) as error:
        why = "too deep, or broken" if isinstance(error, (RecursionError, *BROKEN)) else " ".join(str(error).split())
        raise ValueError(f"license '{text}' is no SPDX expression: {why}") from error
    if parsed is None:
        raise ValueError("'license' is empty: name it as SPDX does, for example MIT")
    for name in unknown:
        if not OWN.fullmatch(name):
            close = difflib.get_close_matches(name, list(licensing.known_symbols), n=1)
            near = f" (did you mean '{close[0]}'?)" if close else ""
            raise ValueError(f"SPDX knows no license '{name}'{near}; one of its own is a LicenseRef-NAME")
    return text


License = Annotated[Line, AfterValidator(_is_expression)]
# what artefacts say is longer than what people write
Expression = Annotated[str, StringConstraints(max_length=LONGEST), AfterValidator(_is_expression)]


@dataclass(frozen=True)
class Several:
    """Branches of an SPDX expression: of `AND` all count, of `OR` one is chosen."""

    operator: Literal["AND", "OR"]
    branches: tuple[Several | str, ...]


@cache
def parse(expression: str) -> Several | str:
    """What is an SPDX expression as a tree; a leaf is a licence, with its exception when it has one."""
    return _tree(_licensing().parse(expression))


def _tree(found: Any) -> Several | str:
    licensing = _licensing()
    for operator, kind in (("AND", licensing.AND), ("OR", licensing.OR)):
        if isinstance(found, kind):
            return Several(cast("Literal['AND', 'OR']", operator), tuple(_tree(one) for one in found.args))
    return str(found.render())


def canonical(text: str) -> str | None:
    """`text` as SPDX writes it today, GPL-2.0+ as GPL-2.0-or-later; None when it is no SPDX expression."""
    if len(text) > LONGEST:
        return None
    try:
        return str(_licensing().parse(_is_expression(text)).render())
    except ValueError:
        return None


def spdx_name(word: str) -> str | None:
    """The SPDX name that `word` is in other letter case, or an older form of it; None for any other word."""
    if not re.fullmatch(r"[A-Za-z0-9.+-]+", word) or word.lower() in ("and", "or", "with"):
        return None
    return canonical(word)


def all_of(expressions: Iterable[str]) -> str | None:
    """One expression for what is under each of several, without repetitions; None for none."""
    parts = sorted({part for one in expressions for part in terms(one)})
    return " AND ".join(f"({part})" if " OR " in part and len(parts) > 1 else part for part in parts) or None


def terms(expression: str) -> list[str]:
    """What holds at once, in one order: A, and B OR C, of `(C OR B) AND A`."""
    return sorted(_terms(parse(expression)))


def _terms(tree: Several | str) -> set[str]:
    if isinstance(tree, str):
        return {tree}
    if tree.operator == "AND":
        return {part for one in tree.branches for part in _terms(one)}
    choices = sorted(_choices(tree))
    # the same in each branch is no choice
    return set(choices[0]) if len(choices) == 1 else {" OR ".join(sorted(map(_branch, choices)))}


def _choices(tree: Several | str) -> set[tuple[str, ...]]:
    """The branches of a choice, each as the terms that hold in it."""
    if isinstance(tree, Several) and tree.operator == "OR":
        return {choice for one in tree.branches for choice in _choices(one)}
    found = sorted(_terms(tree))
    if isinstance(tree, Several) and len(found) == 1:
        return _choices(tree.branches[0])
    return {tuple(found)}


def _branch(parts: tuple[str, ...]) -> str:
    if len(parts) == 1:
        return parts[0]
    return "(" + " AND ".join(f"({part})" if " OR " in part else part for part in parts) + ")"


class Stated(Model):
    """What an artefact says of its licence. Without an expression its licence is unknown, and `why` says so."""

    expression: Expression | None = Field(None, exclude_if=is_none, description="all that was understood")
    main: Expression | None = Field(
        None, exclude_if=is_none, description="of the work itself, where files have other licences too"
    )
    by_words: bool = Field(
        False, exclude_if=is_false, description="found in whole texts: of which one the work itself is, they do not say"
    )
    said: Line = Field("", exclude_if=is_empty, description="the words that were read, shortened")
    file: Line = Field("", exclude_if=is_empty, description="the file in the artefact that says so")
    why: Line = Field("", exclude_if=is_empty, description="why its licence, or a part of it, is unknown")
    same_as: Line | None = Field(None, exclude_if=is_none, description="package whose terms are this one's too")
