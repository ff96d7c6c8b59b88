"""Resolve a variant, read, write and compare locks."""

from dsvm.lock.closure import compare
from dsvm.lock.comparing import changes, stale_sections
from dsvm.lock.files import find, lock_path, read, to_text, write
from dsvm.lock.resolving import resolve
from dsvm.lock.sources import applicable, tools_of, unsuited
from dsvm.lock.trust import check
from dsvm.lock.wanted import MACHINE, Wanted, wanted_sections

__all__ = [
    "MACHINE",
    "Wanted",
    "applicable",
    "changes",
    "check",
    "compare",
    "find",
    "lock_path",
    "read",
    "resolve",
    "stale_sections",
    "to_text",
    "tools_of",
    "unsuited",
    "wanted_sections",
    "write",
]
