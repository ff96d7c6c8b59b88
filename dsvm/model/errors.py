"""What can go wrong, said so that a person can act on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsvm.model.report import Report


class DsvmError(Exception):
    """An expected failure: `message` says what and where, `hint` what to do, `exit_code` what the shell sees."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(DsvmError):
    """A manifest, an option or a name is wrong. Holds every fault found, one line each."""

    exit_code = 2

    def __init__(self, faults: str | Iterable[str], *, hint: str = "") -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults), hint=hint)


class LockError(DsvmError):
    """A lock cannot be made, read or honoured."""

    exit_code = 3


class OutOfReachError(LockError):
    """Tools that cannot be had from any of their sources now, by name."""

    def __init__(self, message: str, *, tools: Iterable[str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.tools = tuple(tools)


class FileError(DsvmError):
    """A file cannot be read or written: the disk is full, the place is read-only, or something else is there."""

    exit_code = 4


class StoreError(DsvmError):
    """An artefact cannot be fetched, verified or kept."""

    exit_code = 3


class AccessError(StoreError):
    """A place asks for credentials, or answers with a page of somebody else's: that says nothing of what it holds."""


class GoneError(StoreError):
    """Locked artefacts that their registry no longer serves, by file name."""

    def __init__(self, message: str, *, gone: Iterable[str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.gone = tuple(gone)


class EngineError(DsvmError):
    """There is no usable container engine."""

    exit_code = 4


class BuildError(DsvmError):
    """A stage of an image failed to build; which one, where that is known."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str = "", stage: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage


class VerifyError(DsvmError):
    """A built image fails its checks; `report` is what they said, where they ran."""

    exit_code = 6

    def __init__(self, message: str, *, hint: str = "", report: Report | None = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class PolicyError(DsvmError):
    """The policy forbids what was asked for."""

    exit_code = 7


class PublishError(DsvmError):
    """A verified image cannot be published; what was begun has been taken back, or is named."""

    exit_code = 8


class RegistryError(PublishError):
    """A registry of images cannot be reached, refuses, or does not answer as it should; `status` is HTTP's, if any."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class AlteredError(RegistryError):
    """What a registry hands out is not what was published: it is altered, incomplete, or nobody known has signed it."""

    exit_code = 9


class ProgramError(DsvmError):
    """Another program failed or is missing; `output` is the end of what it printed."""

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "", output: str = "", returncode: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.output = output
        self.returncode = returncode
