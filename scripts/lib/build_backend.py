"""The build backend that pyproject.toml names: setuptools for an editable install, and a refusal of everything else.

Templates, manifests, scripts and the image's checks lie beside the package `dsvm` and not in it, so that a wheel or a
source distribution would lack them.
"""

from __future__ import annotations

from typing import NoReturn

from setuptools.build_meta import build_editable, get_requires_for_build_editable, prepare_metadata_for_build_editable

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]
REFUSAL = """\
error: DSVM runs from its checkout and cannot be installed elsewhere: \
its templates, manifests and scripts lie beside the package.
Clone the repository, and run scripts/quickstart in it (README.md, "Try it"); into an environment of your own: \
pip install --editable DIR"""


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    """End the build with REFUSAL on standard error and exit code 1."""
    raise SystemExit(REFUSAL)


# All hooks of PEP 517 that a frontend may call first: which one it is differs with build isolation.
get_requires_for_build_wheel = prepare_metadata_for_build_wheel = build_wheel = _refuse
get_requires_for_build_sdist = build_sdist = _refuse
