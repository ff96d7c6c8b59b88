"""Licenses as SPDX writes them: https://spdx.github.io/spdx-spec/v3.0.1/annexes/spdx-license-expressions/"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Annotated

from license_expression import ExpressionError, ExpressionParseError, Licensing, get_spdx_licensing
from pydantic import AfterValidator

from dsvm.model.common import Line

# a license that SPDX has no name for, by a name of one's own
OWN = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()


def _is_expression(text: str) -> str:
    """`text`; ValueError with what is wrong when it is no SPDX license expression."""
    licensing = _licensing()
    try:
        parsed = licensing.parse(text)
        unknown = [] if parsed is None else [str(one) for one in licensing.unknown_license_keys(parsed)]
    except (ExpressionError, ExpressionParseError, RecursionError) as error:
        why = " ".join(str(error).split()) or "too deep"
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
