"""Tools: ways to get them, what they bring, and the checks that prove it."""

from __future__ import annotations

import operator
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from dsvm.model.bases import Base
from dsvm.model.common import (
    Accelerator,
    BaseName,
    CudaVersion,
    Driver,
    Format,
    ImagePath,
    IndexName,
    Line,
    Model,
    Name,
    Platform,
    RepositoryName,
    ToolName,
    as_list,
    as_text,
    is_empty,
    is_none,
)
from dsvm.model.licenses import License

SIZE = r"^(\d{1,6}(?:\.\d{1,3})?) (MB|GB)$"
UNITS = {"MB": 10**6, "GB": 10**9}


class When(Model):
    """A condition on the variant; every key that is given must hold."""

    accelerator: Accelerator | None = None
    base: tuple[BaseName, ...] = ()
    platform: Platform | None = Field(
        None, exclude_if=is_none, description="family of the base's operating system: linux, windows"
    )

    _one_base = field_validator("base", mode="before", json_schema_input_type=tuple[BaseName, ...] | BaseName)(as_list)

    def holds(self, *, accelerator: str, base: Base) -> bool:
        return (
            self.accelerator in (None, accelerator)
            and (not self.base or base.base in self.base)
            and self.platform in (None, base.platform)
        )


class Source(Model):
    """One way to get a tool. The catalog adds one optional field per ecosystem (`apt`, `pypi`, ...)."""

    when: When = When()
    formats: tuple[Format, ...] = Field((), description="only for these formats; all when empty")
    index: IndexName | None = Field(None, description="named package index, from manifests/indexes")
    repository: RepositoryName | None = Field(
        None, description="repository of system packages beside the base's own, from manifests/repositories"
    )
    cuda: CudaVersion | None = Field(None, description="CUDA version that these packages carry")
    remark: Line = Field("", description="what people should know who get the tool from here")
    driver: Driver | None = Field(None, description="branch of NVIDIA's driver that these packages are, or belong to")
    build: dict[Name, Any] = Field(
        default_factory=dict, description="what only building needs, by ecosystem; not in the image"
    )

    _driver_text = field_validator("driver", mode="before", json_schema_input_type=Driver | int | None)(as_text)

    def requests(self) -> dict[str, Any]:
        """What this source asks of each ecosystem, by the ecosystem's name."""
        extra = [name for name in type(self).model_fields if name not in Source.model_fields]
        return {name: value for name in extra if (value := getattr(self, name)) is not None}


class VersionCheck(Model):
    """Run `run`, find a version in what it prints, compare it with the locked version of `package`."""

    run: str
    package: str | None = Field(None, description="locked package to compare with; the tool's first by default")
    parts: int | None = Field(None, ge=1, description="compare only so many release numbers")


class Check(Model):
    """One assertion on a built image: exactly one of `version`, `run`, `script`."""

    when: When = When()
    version: VersionCheck | None = Field(None, description="command that prints the tool's version")
    run: str | None = Field(None, description="command that must succeed")
    expect: str | None = Field(None, description="regular expression that the output of `run` must match")
    script: str | None = Field(
        None, description='checks/NAME.{py,R,jl,sh} in the manifests; its last words are JSON with "ok": true'
    )
    timeout: int = Field(300, ge=1, le=3600, description="seconds")
    alone: bool = Field(False, description="must not run beside other checks")

    @field_validator("version", mode="before", json_schema_input_type=VersionCheck | str | None)
    @classmethod
    def _short_version(cls, value: object) -> object:
        return {"run": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in ("version", "run", "script") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a check has exactly one of 'version', 'run' and 'script'")
        if self.expect is not None and self.run is None:
            raise ValueError("'expect' goes with 'run'")
        try:
            re.compile(self.expect or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"'expect' is no regular expression: {error}: {self.expect}") from error
        if self.script is not None:
            path = PurePosixPath(self.script)
            if path.is_absolute() or ".." in path.parts or path.suffix not in (".py", ".R", ".jl", ".sh"):
                raise ValueError("'script' is a .py, .R, .jl or .sh file inside the manifests folder")
        return self

    def holds(self, *, accelerator: str, base: Base) -> bool:
        """Whether it can be made on an image: `when` says so, and a shell script needs a system with a shell."""
        shell = self.script is not None and self.script.endswith(".sh")
        return self.when.holds(accelerator=accelerator, base=base) and not (shell and base.platform == "windows")


class Notebook(Model):
    """A sample notebook that shows a tool at work: in every image that has its kernel, and all of `uses`, too."""

    source: Annotated[str, StringConstraints(pattern=r"^notebooks/[a-z0-9][a-z0-9-]*[.]ipynb$")] = Field(
        description="a file in the manifests folder; its first heading is its title"
    )
    uses: tuple[ToolName, ...] = Field((), description="tools that it needs beside its own")


class Kernel(Model):
    """A Jupyter kernel that a tool brings."""

    name: Name
    display: Line = Field(description="what users see in the launcher")
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9+#.-]*$")] = "python"
    argv: tuple[str, ...] = Field((), description="command line; an ipykernel of the tool's env when empty")


class Service(Model):
    """A program that a started image serves on a port, never without a token."""

    run: tuple[str, ...] = Field(
        min_length=1,
        description="command line, without secrets; {home} in it is the home of whoever runs it, {cookie_key} a file "
        "with a key, another one for each token, for cookies to be signed with",
    )
    base_url: tuple[str, ...] = Field(
        (),
        exclude_if=is_empty,
        description="words that it gets too behind a proxy that serves it under a path; {base_url} is that path",
    )
    serves_base: bool = Field(
        False,
        exclude_if=operator.not_,
        description="whether it then answers below that path; else the proxy takes the path off",
    )
    port: int = Field(ge=1024, le=65535)
    token_env: str = Field(pattern=r"^[A-Z_]+$", description="environment variable through which it takes the token")
    health: str = Field("/", pattern=r"^/[!-~]*$", description="path that answers 2xx or 3xx without a login")
    login: Literal["token", "password-form", "user-form"] = Field(
        "token",
        description="how a client proves that it knows the token: a header, code-server's form, or RStudio's, which "
        "asks for the image's user too",
    )
    protected: str = Field(
        "/", pattern=r"^/[!-~]*$", description="path that a client reaches only with the right token"
    )
    env: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z_]+$")], Line] = Field(default_factory=dict)


class File(Model):
    """A file that a tool puts into the image: `text` itself, or `source`, a file in the manifests folder."""

    text: str | None = None
    source: str | None = None
    mode: Annotated[str, StringConstraints(pattern=r"^0[0-7]{3}$")] = "0644"

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.text is None) == (self.source is None):
            raise ValueError("a file has exactly one of 'text' and 'source'")
        if self.source is not None and (self.source.startswith("/") or ".." in PurePosixPath(self.source).parts):
            raise ValueError("'source' is a file inside the manifests folder")
        return self


class Tool(Model):
    """Something an image offers its users."""

    tool: Name
    summary: Line
    homepage: Line
    license: License = Field(description="SPDX expression")
    group: Name
    env: Name = Field("base", description="Python environment that its pypi packages go to: /opt/envs/ENV")
    sources: tuple[Source, ...] = Field(min_length=1, description="ways to get it, the preferred one first")
    commands: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+-]+$")], ...] = Field(
        (), description="commands that users find on PATH"
    )
    kernel: Kernel | None = None
    notebook: Notebook | None = Field(None, exclude_if=is_none)
    service: Service | None = None
    files: dict[ImagePath, File] = Field(default_factory=dict)
    environment: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")], Line] = Field(
        default_factory=dict, description="environment variables of the image"
    )
    requires: tuple[ToolName, ...] = Field((), description="tools that must be in the same image")
    lacks: dict[Line, Line] = Field(
        default_factory=dict,
        exclude_if=is_empty,
        description="libraries, or files that need them (paths in the image), with stars, that may lack in the image: "
        "the reason of each",
    )
    size: int | None = Field(
        None,
        exclude_if=is_none,
        description="what it may take in an image, of its own, as in 1.5 GB: an audit says more",
    )
    formats: tuple[Format, ...] = Field((), description="only for these formats; all when empty")
    checks: tuple[Check, ...] = ()

    @field_validator("size", mode="before", json_schema_input_type=Annotated[str, StringConstraints(pattern=SIZE)])
    @classmethod
    def _bytes(cls, value: object) -> object:
        found = re.fullmatch(SIZE, value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"'size' is a number of MB or GB, such as 1.5 GB: {value}")
        return round(float(found[1]) * UNITS[found[2]])

    @model_validator(mode="after")
    def _has_working_check(self) -> Self:
        if not any(check.version is not None for check in self.checks):
            raise ValueError("no 'version' check: nothing proves that the locked version is what is installed")
        if not any(check.version is None for check in self.checks):
            raise ValueError("no working check: add a 'run' or 'script' check that does the tool's work")
        return self
