"""The JSON Schemas that editors use say yes to what the loader takes: every manifest, and every example of the docs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dsvm.catalog import known_names, load, load_model, schemas
from dsvm.catalog.models import key_of, kinds
from dsvm.host.config import read_sources
from dsvm.model import InputError

ROOT = Path(__file__).parents[2]
SCHEMAS = schemas(known_names())
# tests/outside is about an ecosystem that the project's own schemas do not know: test_outside.py
MANIFESTS = [ROOT / "manifests", *(ROOT / "tests").glob("golden/*"), ROOT / "tests/e2e/manifests"]


def files() -> Iterator[tuple[str, Path]]:
    """Every manifest of the project and its tests, with the name of its schema."""
    for folder in MANIFESTS:
        for kind in kinds():
            yield from ((key_of(kind), path) for path in sorted((folder / kind).glob("*.yaml")))
        yield from ((name, path) for name in ("compat", "retired") if (path := folder / f"{name}.yaml").is_file())


def faults(name: str, data: Any, *, part: bool = False) -> list[str]:
    """What the schema `name` refuses; of a `part` it does not ask for the keys that are missing."""
    schema = dict(SCHEMAS[f"{name}.json"])
    if part:
        schema = {key: value for key, value in schema.items() if key not in ("required", "anyOf")}
    # editors see dates as text
    seen = json.loads(json.dumps(data, default=str))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(seen)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def test_there_are_many() -> None:
    assert len(list(files())) > 110


@pytest.mark.parametrize(("name", "path"), list(files()), ids=lambda value: getattr(value, "stem", value))
def test_a_manifest_passes_its_schema(name: str, path: Path) -> None:
    assert faults(name, yaml.safe_load(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_one_and_says_which(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(dict(SCHEMAS[name]))
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMAS[name]["$id"] == f"urn:dsvm:schema:{name.removesuffix('.json')}"
    assert '"names":' not in json.dumps(SCHEMAS[name]), "a note for us, and none for editors"


def test_a_schema_refuses_what_is_wrong() -> None:
    tool = yaml.safe_load((ROOT / "manifests/tools/numpy.yaml").read_text(encoding="utf-8"))
    assert faults("tool", {**tool, "licence": "MIT"})
    assert faults("tool", {**tool, "checks": [{"version": ["python"]}]})
    assert faults("variant", {"variant": "mine", "extends": "cpu-debian", "driver": "new"})


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_first_line_leads_editors_to_the_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found, first
    kind = key_of(path.parent.name) if path.parent.name in kinds() else path.stem
    assert (path.parent / found[1]).resolve() == ROOT / "manifests/schema" / f"{kind}.json"


def test_editors_are_offered_the_names_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/mine.yaml").write_text("tool: mine\n")
    variant = schemas(known_names([ROOT / "manifests", tmp_path]))["variant.json"]["properties"]
    offered = variant["tools"]["items"]["anyOf"][0]["enum"]
    assert {"mine", "numpy", "xgboost"} <= set(offered)
    assert "debian-12" in variant["base"]["anyOf"][0]["enum"]
    assert "cpu-debian" in json.dumps(variant["extends"])
    assert faults("variant", {"variant": "mine", "extends": "somebodys", "tools": ["yet-to-come"]}) == []


def examples() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.name}:{line}", found[1]


def test_there_are_examples() -> None:
    assert len(list(examples())) >= 14


@pytest.mark.parametrize(("where", "text"), list(examples()), ids=lambda value: value if "\n" not in value else "")
def test_an_example_of_the_docs_is_right(where: str, text: str, tmp_path: Path) -> None:
    data = yaml.safe_load(text)
    named = next(
        (found for line in text.splitlines()[:2] if (found := re.match(r"# (?:\S*/)?(\w+)/\S+\.yaml", line))), None
    )
    if named is not None:
        name, part = key_of(named[1]), False
    elif isinstance(data.get("sources"), dict):
        config = tmp_path / "config.yaml"
        config.write_text(text, encoding="utf-8")
        assert read_sources(config, {})
        return
    else:
        name, part = ("compat" if "frameworks" in data else "tool"), True
    assert faults(name, data, part=part) == []
    if named is not None:
        path = tmp_path / "example.yaml"
        path.write_text(text, encoding="utf-8")
        said: list[str] = []
        assert load_model(path, kinds()[named[1]], said) is not None, said


LICENSE = "license: BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0"  # of numpy's manifest


def test_a_license_that_spdx_does_not_know_is_refused(tmp_path: Path) -> None:
    for text, said in (
        ("Apache 2.0", "SPDX knows no license 'Apache 2.0' (did you mean 'Apache-2.0'?)"),
        ("MIT AND", "license 'MIT AND' is no SPDX expression"),
        ("whatever we like", "SPDX knows no license 'whatever we like'"),
        ("''", "'license' is empty"),
        ("()", "license '()' is no SPDX expression"),
    ):
        assert said in refused(tmp_path, LICENSE, f"license: {text}")


def test_a_license_of_ones_own_and_an_expression_are_taken(tmp_path: Path) -> None:
    for text in ("LicenseRef-House", "MIT OR (GPL-2.0-only WITH Classpath-exception-2.0)"):
        folder = with_line(tmp_path / text.replace(" ", "_"), LICENSE, f"license: {text}")
        assert load([folder]).tools["numpy"].license == text


def test_a_broken_regular_expression_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "checks:", "checks:\n  - run: echo 1\n    expect: '[0-9'")
    assert "tools/numpy.yaml:" in said
    assert "'expect' is no regular expression: unterminated character set at position 0: [0-9" in said


def with_line(folder: Path, line: str, other: str) -> Path:
    """A folder of one's own in which numpy's manifest says `other` in place of `line`."""
    text = (ROOT / "manifests/tools/numpy.yaml").read_text(encoding="utf-8")
    assert text.count(line) == 1
    (folder / "tools").mkdir(parents=True, exist_ok=True)
    (folder / "tools/numpy.yaml").write_text(text.replace(line, other), encoding="utf-8")
    return folder


def refused(folder: Path, line: str, other: str) -> str:
    with pytest.raises(InputError) as caught:
        load([with_line(folder, line, other)])
    return caught.value.message
