"""How a check script written in Python ends: one JSON object as its last line, and an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

NOT_EXERCISED = 77


class NotExercisedError(Exception):
    """The check cannot do its work here, for the reason it gives; that is no fault."""


def run_check(script: str, check: Callable[[], Mapping[str, object]]) -> NoReturn:
    """Run `check`, print what it found, and exit; `script` is the script's `__file__`.

    Exit codes: 0 when `check` returns facts, 1 when it raises, 77 when it raises NotExercisedError.
    """
    name = Path(script).stem
    try:
        result = {"ok": True, **check()}
    except NotExercisedError as error:
        print(json.dumps({"check": name, "reason": str(error)}))
        sys.exit(NOT_EXERCISED)
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": name, **result}))
    sys.exit(0 if result["ok"] else 1)
