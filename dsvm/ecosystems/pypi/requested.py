"""What a manifest asks of PyPI: requirements, and packages that are published as source alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, Field

from dsvm.ecosystems.protocol import (
    Request,
)
from dsvm.ecosystems.pypi.metadata import name_of
from dsvm.model import (
    Model,
)

if TYPE_CHECKING:
    pass


# What a kernel's environment holds beside its tools: the kernel itself, and pip for `%pip install` in a notebook
KERNEL_PACKAGES = ("ipykernel", "pip")


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"'{text}' is not a requirement: {str(error).splitlines()[0]}") from error
    if requirement.url:
        raise ValueError(f"'{text}': a URL is no requirement here; use the 'url' ecosystem")
    return text


PlainRequirement = Annotated[str, AfterValidator(_requirement)]


class Sdist(Model):
    """A package whose makers publish its source alone: its wheel is built with the image, offline."""

    sdist: PlainRequirement = Field(
        description="requirement; 'build' of its source says what builds it, for example pypi: [setuptools]"
    )


def kind(value: object) -> str:
    return "wheel" if isinstance(value, str) else "sdist"


def text_of(one: str | Sdist) -> str:
    return one if isinstance(one, str) else one.sdist


def sdists_of(request: Request) -> list[str]:
    """Names of the packages that may come as source."""
    return sorted({name_of(one.sdist) for item in request.items for one in item if isinstance(one, Sdist)})


def wanted_by(request: Request) -> list[str]:
    """All requirements of an environment, those of a kernel included."""
    return [*(text_of(one) for item in request.items for one in item), *(KERNEL_PACKAGES if request.kernel else ())]
