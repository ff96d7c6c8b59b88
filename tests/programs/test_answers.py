"""What `--format json` prints: one object that fits its committed schema, and says what the tables say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from newcomer import ROOT
from small_world import SmallWorld, tool

from dsvm import catalog as catalogs
from dsvm.catalog import known_names, schemas
from dsvm.model import answers
from dsvm.screen import console, forms
from dsvm.screen.schemas import ANSWERS_FOLDER, answer_texts

SCHEMAS: Mapping[str, Any] = {path.stem: json.loads(path.read_text()) for path in ANSWERS_FOLDER.glob("*.json")}
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere", "DSVM_ENGINE_DIR": "/nowhere"}
COMMANDS = (
    ("list",),
    *(("show", "--variant", name) for name in ("cpu-debian", "gpu-ubuntu", "cpu-rocky", "gpu-windows")),
    ("compat",),
    ("compat", "--explain", "cpu-debian"),
    ("compat", "--explain", "gpu-rocky"),
    ("compat", "--explain", "gpu-ubuntu", "--gpu", "v100", "--driver", "470"),
    ("doctor",),
    ("doctor", "--variant", "cpu-debian"),
    ("diff", "--old", "cpu-debian", "--new", "cpu-ubuntu"),
)


@cache
def invoke(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of ours on the project's own catalog, without an engine."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **NO_ENGINE, **environment}
    argv = [sys.executable, "-m", "invoke", *words]
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def read(done: subprocess.CompletedProcess[str]) -> Any:
    """The one object on standard output, which fits the schema that it names."""
    assert done.stdout, f"exit code {done.returncode}: {done.stderr}"
    assert re.fullmatch(r"[ -~\n]*", done.stdout), "no control character, and nothing but ASCII"
    answer = json.loads(done.stdout)
    name, version = re.fullmatch(r"dsvm\.([a-z]+)/(\d+)", answer["schema"]).groups()  # type: ignore[union-attr]
    schema = SCHEMAS[name]
    assert schema["$id"] == f"urn:dsvm:answer:{name}:{version}"
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    found = jsonschema.Draft202012Validator(schema, format_checker=checker).iter_errors(answer)
    assert [f"{error.json_path}: {error.message}" for error in found] == []
    return answer


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


# --- schemas -----------------------------------------------------------------------------------------------


def test_the_committed_schemas_are_current() -> None:
    written = {path.name: path.read_text() for path in ANSWERS_FOLDER.iterdir()}
    assert written == answer_texts(), "run: invoke schema"
    assert set(SCHEMAS) == {"list", "show", "compat", "explain", "doctor", "diff", "night", "pull"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_field_is_described_and_always_there(name: str) -> None:
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    for part in (schema, *schema.get("$defs", {}).values()):
        assert part["description"]
        assert sorted(part["required"]) == sorted(part["properties"]), "what is absent is null, or an empty list"
        assert [key for key, field in part["properties"].items() if not field.get("description")] == []
        assert [key for key in part["properties"] if not re.fullmatch(r"[a-z][a-z0-9_]*", key)] == []
    assert '"additionalProperties": false' not in json.dumps(schema), "keys may come"


def test_no_two_schemas_share_an_id() -> None:
    every = [*SCHEMAS.values(), *schemas(known_names()).values()]
    assert len({schema["$id"] for schema in every}) == len(every)


def test_a_schema_refuses_what_is_wrong() -> None:
    answer = read(invoke("doctor", "--format", "json"))
    validator = jsonschema.Draft202012Validator(SCHEMAS["doctor"])
    wrong = {**answer, "diagnoses": [{**answer["diagnoses"][0], "level": "SLOW"}]}
    without = {key: value for key, value in answer.items() if key != "faults"}
    for one in (wrong, without, {**answer, "schema": "dsvm.doctor/2"}):
        assert not validator.is_valid(one)


def test_a_folder_of_ones_own_gets_the_schemas_of_manifests_alone(tmp_path: Path) -> None:
    done = invoke("schema", "--catalog", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (tmp_path / "schema").iterdir()} == {
        name.removesuffix(".json") for name in schemas({})
    }


# --- the project's own catalog -----------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_json_fits_its_schema_and_ends_as_the_table_does(words: tuple[str, ...]) -> None:
    done, shown = invoke(*words, "--format", "json"), invoke(*words)
    answer = read(done)
    assert (done.returncode, done.stderr) == (shown.returncode, shown.stderr)
    assert not {"-", "none", "no engine", "only builds", "wanted "} & set(texts(answer)), "words for people"


def test_tables_are_what_one_gets_unasked_and_json_is_the_same_each_time() -> None:
    assert invoke("list", "--format", "table").stdout == invoke("list").stdout
    assert invoke("list", "--format", "json").stdout == invoke.__wrapped__("list", "--format", "json").stdout


def test_list_has_every_variant_and_every_tool_once() -> None:
    catalog = catalogs.load()
    answer = read(invoke("list", "--format", "json"))
    assert [one["variant"] for one in answer["variants"]] == sorted(catalog.variants)
    assert sorted(one["tool"] for one in answer["tools"]) == sorted(catalog.tools)
    assert {one["base"] for one in answer["bases"]} == set(catalog.bases)
    for one in answer["variants"]:
        assert set(one["tools"]) == set(catalog.tools)
        assert one["image"] == "unknown", "there is no engine here"
        assert all((state["version"] is None) == (state["state"] != "locked") for state in one["tools"].values())
    locked = {one["variant"]: one["lock"] for one in answer["variants"]}
    assert locked["cpu-rocky"] is None
    assert locked["cpu-debian"]["size"] > 1e9, "bytes"
    assert re.fullmatch(r"[0-9a-f]{64}", locked["cpu-debian"]["digest"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", locked["cpu-debian"]["changed"])
    assert answer["faults"] == []


def test_sizes_of_groups_are_told_when_they_are_asked_for(tmp_path: Path) -> None:
    empty = {"DSVM_STORE": str(tmp_path / "store")}
    answer = read(invoke("list", "--sizes", "--format", "json", **empty))
    assert {one["sizes"] for one in read(invoke("list", "--format", "json"))["variants"]} == {None}
    groups = {one["tool"]: one["group"] for one in answer["tools"]}
    sizes = {one["variant"]: one["sizes"] for one in answer["variants"]}
    assert sizes["cpu-rocky"] is None, "not locked"
    assert sum(sum(tools.values()) for tools in sizes["cpu-debian"].values()) > 1e9, "bytes"
    for one in answer["variants"]:
        named = {tool for tool, state in one["tools"].items() if state["state"] == "locked"}
        for group, tools in (one["sizes"] or {}).items():
            own = {tool for tool in tools if not tool.startswith("shared in ")} - {"base"}
            assert own <= named and {groups[tool] for tool in own} <= {group}
    assert sum(sum(tools.values()) for tools in sizes["cpu-minimal"].values()) < 2e8
    shown = invoke("list", "--sizes", **empty).stdout
    assert re.search(r"^all +1,7\d\d ", shown, re.MULTILINE) and "Packages as registries have them" in shown


def test_show_has_sizes_in_bytes_and_null_for_what_is_not_locked() -> None:
    answer = read(invoke("show", "--variant", "cpu-debian", "--format", "json"))
    stages = {one["stage"]: one for one in answer["stages"]}
    assert stages["env-pytorch"]["size"] > 1e8
    assert (stages["runtime-python"]["in_image"], stages["runtime-python"]["layers"]) == (False, 0)
    tools = {one["tool"]: one for one in answer["tools"]}
    assert tools["r"]["env"] is None and tools["pytorch"]["env"] == "pytorch"
    julia = next(one for one in answer["choices"] if one["tool"] == "julia")
    assert "url" in julia["passed_over"] and "Julia 1.5 is of 2020" in julia["remark"]
    answer = read(invoke("show", "--variant", "cpu-rocky", "--format", "json"))
    assert (answer["lock"], answer["base_kind"], answer["stages"]) == (None, None, [])
    assert {(one["version"], one["ecosystem"]) for one in answer["tools"]} == {(None, None)}


def test_compat_has_the_rows_of_the_table_with_source_and_date() -> None:
    answer = read(invoke("compat", "--format", "json"))
    rows = answer["rows"]
    catalog = catalogs.load()
    assert {name: len(rows[name]) for name in catalog.compat.tables} == {
        name: len(found) for name, found in catalog.compat.tables.items()
    }
    assert all(row["source"] in rows["sources"] for name in catalog.compat.tables for row in rows[name])
    assert {row["level"] for row in rows["ends"]} <= {"ok", "warning", "error"}
    for one in answer["variants"]:
        assert (one["verdict"] == "refused") == bool(one["refused_by"]) == bool(one["findings"]["error"])


def test_explain_has_every_rule_and_says_why_it_refuses() -> None:
    words = ("compat", "--explain", "gpu-ubuntu", "--gpu", "v100", "--driver", "470", "--format", "json")
    done = invoke(*words)
    assert done.returncode == 2
    assert "rule driver: CUDA 13 needs driver 580" in done.stderr
    answer = read(done)
    assert answer["verdict"] == "refused"
    found = {rule["rule"]: rule["findings"] for rule in answer["rules"]}
    assert len(found) == 15
    assert found["repository"] == [], "nothing that it looks at"
    (first, *_) = (one for one in found["driver"] if one["level"] == "error")
    assert first["what"].startswith("CUDA 13 needs driver 580") and "install driver 580" in first["remedy"]
    assert "nvidia.com" in first["source"]
    assert "not_checked" in {one["level"] for one in found["end-of-life"]}


def test_doctor_says_what_is_missing_and_fails() -> None:
    done = invoke("doctor", "--variant", "cpu-debian", "--format", "json")
    answer = read(done)
    assert done.returncode == 4
    missing = [one["subject"] for one in answer["diagnoses"] if one["level"] == "missing"]
    assert f"missing: {', '.join(missing)}" in done.stderr
    assert answer["variant"] == "cpu-debian"


@pytest.mark.parametrize(
    "words", [("list",), ("show", "--variant", "nobody"), ("compat",), ("compat", "--explain", "nobody"), ("doctor",)]
)
def test_an_unknown_format_is_refused_before_anything_is_looked_at(words: tuple[str, ...]) -> None:
    done = invoke(*words, "--format", "xml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --format: unknown format 'xml'\nKnown: table, json\n"


@pytest.mark.parametrize("command", ["list", "show", "compat", "doctor"])
def test_the_help_says_which_formats_there_are(command: str) -> None:
    assert re.search(r"--format=STRING\s+table or json\n", invoke("--help", command).stdout)


# --- a catalog of one's own, with faults -------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    made = SmallWorld(tmp_path_factory.mktemp("answers"))
    made.set_up()
    variant = {"base": "debian-12", "accelerator": "cpu", "tools": ["tini"]}
    made.write("variants/good.yaml", {"variant": "good", **variant, "summary": "\u202egnirts"})
    made.write("variants/bad.yaml", {"variant": "bad", **variant, "colour": "red"})
    made.write("variants/worse.yaml", {"variant": "worse", "extends": "bad"})
    return made


@pytest.mark.parametrize("command", ["list", "compat", "doctor"])
def test_faults_of_manifests_stand_beside_what_is_right(world: SmallWorld, command: str) -> None:
    done = world.invoke(command, "--format", "json", env=NO_ENGINE)
    assert done.returncode == world.invoke(command, env=NO_ENGINE).returncode == (4 if command == "doctor" else 2)
    answer = read(done)
    (fault,) = answer["faults"]
    line = (world.mine / "variants/bad.yaml").read_text().splitlines().index("colour: red") + 1
    assert (fault["file"], fault["line"]) == (str(world.mine / "variants/bad.yaml"), line)
    assert fault["message"].startswith("unknown key 'colour'")
    assert fault["variants"] == ["bad", "worse"]
    assert command == "doctor" or f"bad.yaml:{line}: {fault['message']}" in done.stderr
    if command != "doctor":
        assert "good" in (names := [one["variant"] for one in answer["variants"]]) and "bad" not in names


def test_where_there_is_no_answer_there_is_no_output(world: SmallWorld) -> None:
    for words in (("show", "--variant", "bad"), ("compat", "--explain", "worse"), ("doctor", "--variant", "bad")):
        done = world.invoke(*words, "--format", "json")
        assert (done.returncode, done.stdout) == (2, "")
        assert "unknown key 'colour'" in done.stderr


def test_foreign_characters_come_as_escapes(world: SmallWorld) -> None:
    done = world.invoke("show", "--variant", "good", "--format", "json")
    assert r'"summary": "\u202egnirts"' in done.stdout
    assert read(done)["summary"] == "\u202egnirts"


def test_a_path_that_is_no_text_is_still_named(world: SmallWorld, tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/m\xff")
    (Path(folder) / "variants").mkdir(parents=True)
    (Path(folder) / "variants/odd.yaml").write_text("variant: odd\n")
    done = invoke("list", "--format", "json", "--catalog", folder)
    assert done.returncode == 2
    assert {fault["file"] for fault in read(done)["faults"]} == {f"{tmp_path}/m\\udcff/variants/odd.yaml"}


def test_the_policy_refuses_with_its_own_exit_code(tmp_path: Path) -> None:
    world = SmallWorld(tmp_path)
    world.set_up()
    end = {"product": "debian", "release": "12", "support": "2001-01-01", "source": "us", "date": "2026-11-22"}
    world.write("compat.yaml", f"sources: {{us: ourselves}}\nends:\n  - {json.dumps(end)}\npolicy: {{grace: {{}}}}\n")
    world.write("tools/mine.yaml", tool("mine", {"apt": ["tini"]}))
    world.write("variants/late.yaml", {"variant": "late", "base": "debian-12", "accelerator": "cpu", "tools": ["mine"]})
    done = world.invoke("compat", "--explain", "late", "--format", "json")
    assert done.returncode == world.invoke("compat", "--explain", "late").returncode == 7
    answer = read(done)
    assert answer["verdict"] == "refused"
    (found,) = (one for rule in answer["rules"] for one in rule["findings"] if one["level"] == "error")
    assert found["what"] == "debian 12: support ended 2001-01-01"


def test_a_catalog_of_ones_own_stands_in_what_is_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    @console.plain_errors
    def command(catalog: list[str]) -> None:
        found = answers.Diagnosed(level="missing", subject="disk", what="\x1b[31m", remedy="free some: invoke clean")
        forms.shown_as("json", lambda answer: None)(answers.DoctorAnswer(variant=None, diagnoses=(found,), faults=()))

    command(catalog=['/"my ü'])
    out = capsys.readouterr().out
    assert "\x1b" not in out and out.isascii()
    (found,) = json.loads(out)["diagnoses"]
    assert found["remedy"] == "free some: invoke clean --catalog '/\"my ü'"
    command(catalog=[])


@pytest.mark.parametrize(
    ("text", "file", "line", "message"),
    [
        ("/m/v.yaml:3: unknown key 'a': b", "/m/v.yaml", 3, "unknown key 'a': b"),
        ("/m/v.yaml: No such file", "/m/v.yaml", None, "No such file"),
        ("/m/v.yaml:1: two\nlines: 2", "/m/v.yaml", 1, "two\nlines: 2"),
        ("all is lost", None, None, "all is lost"),
    ],
)
def test_a_fault_is_taken_apart(text: str, file: str | None, line: int | None, message: str) -> None:
    found = answers.Fault.of(text, ("v",))
    assert (found.file, found.line, found.message, found.variants) == (file, line, message, ("v",))
