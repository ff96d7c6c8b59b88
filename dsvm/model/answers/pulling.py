"""The answer of `invoke pull-size`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsvm.model.answers.common import Answer, Text


class PullAnswer(Answer):
    """The answer of `invoke pull-size`: what a machine fetches that has one image and wants another."""

    schema_: Literal["dsvm.pull/1"] = Field("dsvm.pull/1", alias="schema", description="this schema and its version")
    old: Text = Field(description="the image that it has, by digest where a release named it")
    new: Text = Field(description="the image that it wants, by digest where a release named it")
    bytes: int = Field(ge=0, description="bytes to transfer: packed layers and the configuration")
    layers: int = Field(ge=0, description="layers among them")
    all_bytes: int = Field(ge=0, description="bytes that a machine without any image fetches")
    all_layers: int = Field(ge=0, description="layers of the new image")
