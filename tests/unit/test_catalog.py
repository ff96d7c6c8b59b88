"""Manifests in, a catalog or every fault at once out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import golden_file
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dsvm import catalog
from dsvm import lock as locks
from dsvm.catalog.reading import read_yaml
from dsvm.model import InputError
from dsvm.screen.schemas import schema_texts

GOLDEN = Path(__file__).parents[1] / "golden" / "manifests"


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "manifests"))


def faults(folder: Path, *overlays: Path) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        catalog.load(overlays, main=folder)
    assert caught.value.exit_code == 2
    return caught.value.faults


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_project_s_own_manifests_are_sound() -> None:
    found = catalog.load()
    assert "cpu-debian" in found.variants
    assert found.tools["pytorch"].sources[0].requests()["pypi"]


def test_no_service_of_a_tool_starts_while_its_machine_is_built() -> None:
    """What it makes at its first start, secrets above all, would be the same in every copy of the image."""
    files = {path: file.text or "" for tool in catalog.load().tools.values() for path, file in tool.files.items()}
    started = {path: text for path, text in files.items() if path.endswith(".service") and "\n[Install]\n" in text}
    assert len(started) >= 2
    assert [path for path, text in started.items() if "\nConditionPathExists=!/run/dsvm-build\n" not in text] == []


def test_the_schemas_for_editors_are_current() -> None:
    folder = catalog.MANIFESTS / "schema"
    assert {path.name for path in folder.glob("*.json")} <= schema_texts().keys(), "remove what is too much"
    for name, text in schema_texts().items():
        golden_file.check(folder / name, text, update="invoke schema")


def test_a_misspelt_key_is_named_with_its_line_and_the_near_one(manifests: Path) -> None:
    edit(manifests / "tools/arrays.yaml", "  - pypi:", "  - pipy:")
    found = faults(manifests)
    assert f"{manifests}/tools/arrays.yaml:7: unknown key 'pipy' (did you mean 'pypi'?)" in found
    assert len(found) == 1, "that a variant names the broken tool is no further fault"


def test_a_misspelt_key_deep_inside_is_found(manifests: Path) -> None:
    edit(manifests / "tools/editor.yaml", "        to:", "        too:")
    found = faults(manifests)
    assert f"{manifests}/tools/editor.yaml:12: unknown key 'too' (did you mean 'to'?)" in found
    assert any("key 'to' is missing" in fault for fault in found)


def test_all_faults_of_all_files_come_at_once(manifests: Path) -> None:
    edit(manifests / "tools/arrays.yaml", "license: MIT", "licence: MIT")
    edit(manifests / "tools/editor.yaml", 'mode: "0644"', "mode: rw")
    edit(manifests / "bases/tiny-12.yaml", 'glibc: "2.36"', "glibc: new")
    edit(manifests / "variants/tiny.yaml", "accelerator: cpu", "accelerator: tpu")
    found = "\n".join(faults(manifests))
    for part in ("arrays.yaml:4", "editor.yaml:17", "tiny-12.yaml:5", "tiny.yaml:4"):
        assert part in found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("tool: [", "not valid YAML"),
        ("tool: a\ntool: b\n", "key 'tool' stands twice"),
        ("", "empty"),
        ("- a\n", "valid dictionary"),
        ("tool: \x00", "not valid YAML"),
        ("=", "'=' is no value"),
        ("tool: !!timestamp soon\n", "'soon' is no timestamp"),
        ("tool: a\n? [b]\n: c\n", "arrays.yaml:2: a key is one word"),
        ("tool: &a [*a]\n", "an alias inside what it names"),
        ("tool: arrays\nsummary: 2026-13-01\n", "arrays.yaml:2: not valid YAML: '2026-13-01' is no timestamp"),
    ],
)
def test_broken_yaml_has_a_line(manifests: Path, text: str, what: str) -> None:
    (manifests / "tools/arrays.yaml").write_text(text)
    assert any(f"{manifests}/tools/arrays.yaml:" in fault and what in fault for fault in faults(manifests))


def test_unknown_names_between_files_are_faults(manifests: Path) -> None:
    edit(manifests / "variants/tiny.yaml", "editor]", "editr]")
    edit(manifests / "variants/tiny.yaml", "tiny-12", "tiny-13")
    edit(manifests / "tools/notebooks.yaml", "index: special", "index: spezial")
    edit(manifests / "tools/notebooks.yaml", "checks/work.py", "checks/none.py")
    found = "\n".join(faults(manifests))
    assert "unknown tool 'editr' (did you mean 'editor'?)" in found
    assert "unknown base 'tiny-13' (did you mean 'tiny-12'?)" in found
    assert "unknown index 'spezial' (did you mean 'special'?)" in found
    assert "no file 'checks/none.py'" in found


def repository(manifests: Path, name: str = "vendor") -> None:
    (manifests / "repositories").mkdir()
    (manifests / f"repositories/{name}.yaml").write_text(
        f"repository: {name}\nsummary: A vendor's\nuri: https://vendor.test/debian\n"
        f"key: {{urls: [key.asc], fingerprint: {'A' * 40}}}\n"
        "places: [{base: tiny-12, suite: /}]\npackages: [vtool]\n"
    )


def test_a_repository_is_known_by_name_and_goes_with_system_packages(manifests: Path) -> None:
    repository(manifests)
    edit(manifests / "tools/arrays.yaml", "    apt: [libgomp1]", "    apt: [vtool]\n    repository: vendor")
    assert catalog.load(main=manifests).tools["arrays"].sources[0].repository == "vendor"
    edit(manifests / "tools/arrays.yaml", "repository: vendor", "repository: vender")
    assert f"{manifests}/tools/arrays.yaml:9: unknown repository 'vender' (did you mean 'vendor'?)" in faults(manifests)
    edit(manifests / "tools/arrays.yaml", "    apt: [vtool]\n    repository: vender", "    repository: vendor")
    assert any("'repository' goes with system packages" in fault for fault in faults(manifests))


@pytest.mark.parametrize(
    ("name", "owner"), [("debian", "an archive of base"), ("special", "an index"), ("pypi", "an ecosystem")]
)
def test_a_repository_has_a_name_that_no_other_registry_has(manifests: Path, name: str, owner: str) -> None:
    repository(manifests, name)
    assert any(f"'{name}' is the name of {owner}" in fault for fault in faults(manifests))


def test_a_broken_repository_is_one_fault_with_its_line(manifests: Path) -> None:
    repository(manifests)
    edit(manifests / "tools/arrays.yaml", "    apt: [libgomp1]", "    apt: [vtool]\n    repository: vendor")
    edit(manifests / "repositories/vendor.yaml", "packages: [", "packges: [")
    found = faults(manifests)
    assert f"{manifests}/repositories/vendor.yaml:6: unknown key 'packges' (did you mean 'packages'?)" in found
    assert not any("unknown repository" in fault for fault in found)


@pytest.mark.parametrize(
    ("addition", "claim"),
    [
        ("files:\n  /etc/editor.conf: {text: x}\n", "path '/etc/editor.conf'"),
        ("commands: [editor]\n", "command 'editor'"),
        ("kernel: {name: nets, display: N}\n", "kernel 'nets'"),
        ("service: {run: [a], port: 8888, token_env: T}\n", "port '8888'"),
    ],
)
def test_two_tools_wanting_one_thing_are_both_named(manifests: Path, addition: str, claim: str) -> None:
    tool = manifests / "tools/arrays.yaml"
    tool.write_text(tool.read_text() + addition)
    assert any("'arrays'" in fault and f"both want the {claim}" in fault for fault in faults(manifests))


def test_a_tool_without_a_working_check_is_a_fault(manifests: Path) -> None:
    edit(manifests / "tools/editor.yaml", "  - run: editor --check\n", "")
    assert any("no working check" in fault for fault in faults(manifests))


def test_a_tool_without_a_version_check_is_a_fault(manifests: Path) -> None:
    edit(manifests / "tools/editor.yaml", "  - version: editor --version\n", "")
    assert any("no 'version' check" in fault for fault in faults(manifests))


def test_a_tool_needs_what_it_requires_beside_it(manifests: Path) -> None:
    edit(manifests / "variants/tiny.yaml", "[arrays, ", "[")
    assert any("tool 'notebooks' needs 'arrays' beside it" in fault for fault in faults(manifests))


@pytest.mark.parametrize("path", ["/etc/dsvm/x", "/proc/x", "/opt/../etc/passwd", "/tmp/x"])
def test_a_tool_may_not_write_where_it_likes(manifests: Path, path: str) -> None:
    edit(manifests / "tools/editor.yaml", "/etc/editor.conf", path)
    assert any(f"may not write '{path}'" in fault for fault in faults(manifests))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[arrays ~= 1.0]", '["arrays @ https://example.invalid/a.whl"]'),
        ("[arrays ~= 1.0]", '["--index-url=x arrays"]'),
        ("[libgomp1]", '["-o=Dpkg::Pre-Invoke::=id"]'),
        ("[libgomp1]", '["libgomp1; id"]'),
        ("summary: Numbers", 'summary: "a\\nRUN id" # '),
        ("license: MIT", 'license: "a\\nb"'),
        ("ARRAYS_HOME", '"A B"'),
        ("tool: arrays", "tool: ../arrays"),
    ],
)
def test_values_that_would_be_instructions_are_refused(manifests: Path, old: str, new: str) -> None:
    edit(manifests / "tools/arrays.yaml", old, new)
    assert faults(manifests)


def test_an_overlay_adds_and_replaces(manifests: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "variants").mkdir(parents=True)
    variant = {"variant": "mine", "base": "tiny-12", "accelerator": "cpu", "tools": ["arrays"]}
    (mine / "variants/mine.yaml").write_text(yaml.safe_dump(variant))
    (mine / "tools").mkdir()
    text = (manifests / "tools/arrays.yaml").read_text().replace("license: MIT", "license: ISC")
    (mine / "tools/arrays.yaml").write_text(text)
    found = catalog.load([mine], main=manifests)
    assert set(found.variants) == {"tiny", "mine"}
    assert found.tools["arrays"].license == "ISC"


def test_a_missing_overlay_and_a_misspelt_folder_are_faults(manifests: Path, tmp_path: Path) -> None:
    assert any("no such folder" in fault for fault in faults(manifests, tmp_path / "nowhere"))
    (manifests / "tools").rename(manifests / "tool")
    assert any("unknown kind of manifest 'tool' (did you mean 'tools'?)" in fault for fault in faults(manifests))


# --- variants that extend others -----------------------------------------------------------------------------


def variant(folder: Path, name: str, **keys: object) -> Path:
    path = folder / f"variants/{name}.yaml"
    path.write_text(yaml.safe_dump({"variant": name, **keys}, sort_keys=False))
    return path


def test_a_variant_says_only_what_differs_also_over_several_steps(manifests: Path) -> None:
    variant(manifests, "a", extends="b", tools=["editor"], without=["notebooks"])  # before b, which it extends
    variant(manifests, "b", extends="tiny", without=["editor"], accelerator="gpu", formats=["docker", "qcow2"])
    found = catalog.load(main=manifests).variants
    assert found["b"].tools == ("arrays", "notebooks")
    assert found["a"].tools == ("arrays", "editor")
    assert (found["a"].base, found["a"].accelerator, found["a"].formats) == ("tiny-12", "gpu", ("docker", "qcow2"))
    assert found["tiny"].tools == ("arrays", "notebooks", "editor"), "and the one it extends stays as it was"


def test_a_variant_that_extends_itself_is_told_the_way(manifests: Path) -> None:
    own = variant(manifests, "own", extends="own")
    first, second = variant(manifests, "first", extends="second"), variant(manifests, "second", extends="first")
    variant(manifests, "leads-in", extends="first")
    assert set(faults(manifests)) == {
        f"{own}:2: variant 'own' extends itself: own -> own",
        f"{first}:2: variant 'first' extends itself: first -> second -> first",
        f"{second}:2: variant 'second' extends itself: second -> first -> second",
    }


def test_a_variant_that_extends_what_is_not_there_is_a_fault(manifests: Path) -> None:
    path = variant(manifests, "mine", extends="tinny")
    variant(manifests, "next", extends="mine")
    assert faults(manifests) == (f"{path}:2: extends unknown variant 'tinny' (did you mean 'tiny'?)",)


def test_a_tool_that_is_not_there_cannot_be_taken_out(manifests: Path) -> None:
    path = variant(manifests, "mine", extends="tiny", tools=["arrays"], without=["editr", "arrays"])
    assert set(faults(manifests)) == {
        f"{path}:6: variant 'tiny' has no tool 'editr' (did you mean 'editor'?) to go without",
        f"{path}:4: tool 'arrays' stands under 'tools' and under 'without'",
    }


def test_a_fault_of_a_variant_is_not_said_again_of_those_that_extend_it(manifests: Path) -> None:
    edit(manifests / "variants/tiny.yaml", "editor]", "editr]")
    path = variant(manifests, "mine", extends="tiny", tools=["arays"])
    found = faults(manifests)
    assert len(found) == 2, found
    assert f"{path}:4: unknown tool 'arays' (did you mean 'arrays'?)" in found


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"base": "tiny-12", "accelerator": "cpu"}, "'tools' missing"),
        ({"tools": ["arrays"]}, "'base', 'accelerator' missing"),
        ({"base": "tiny-12", "accelerator": "cpu", "tools": []}, "'tools' names no tool"),
        ({"base": "tiny-12", "accelerator": "cpu", "tools": ["arrays"], "without": ["editor"]}, "goes with 'extends'"),
    ],
)
def test_a_variant_that_extends_none_is_whole(manifests: Path, keys: dict[str, object], what: str) -> None:
    variant(manifests, "mine", **keys)
    (fault,) = faults(manifests)
    assert what in fault


# --- groups of tools -----------------------------------------------------------------------------------------


def another(folder: Path, name: str, **keys: object) -> None:
    """The tool `arrays` once more under another name, with other keys."""
    told = yaml.safe_load((folder / "tools/arrays.yaml").read_text())
    (folder / f"tools/{name}.yaml").write_text(yaml.safe_dump({**told, "tool": name, "files": {}, **keys}))


def test_a_group_stands_for_its_tools_in_images_that_can_have_them(manifests: Path) -> None:
    apt = yaml.safe_load((manifests / "tools/arrays.yaml").read_text())["sources"][0]
    another(manifests, "maps", group="geo")
    another(manifests, "globe", group="geo", requires=["satellite"])
    another(manifests, "satellite", group="geo", sources=[{**apt, "when": {"accelerator": "gpu"}}])
    another(manifests, "disk", group="geo", formats=["qcow2"])
    variant(manifests, "mine", base="tiny-12", accelerator="cpu", tools=["group:geo", "editor"])
    variant(manifests, "fast", extends="mine", accelerator="gpu", formats=["docker", "qcow2"])
    found = catalog.load(main=manifests).variants
    assert found["mine"].tools == ("maps", "editor"), "no GPU for one, and so not for what needs it"
    assert found["fast"].tools == ("disk", "globe", "maps", "satellite", "editor"), "its own formats and accelerator"


def test_without_works_on_groups_and_in_groups(manifests: Path) -> None:
    another(manifests, "maps", group="geo")
    another(manifests, "globe", group="geo")
    variant(manifests, "mine", extends="tiny", tools=["group:geo"], without=["globe"])
    variant(manifests, "less", extends="mine", tools=["globe"], without=["group:geo", "editor"])
    variant(manifests, "alone", base="tiny-12", accelerator="cpu", tools=["group:geo"], without=["maps"])
    found = catalog.load(main=manifests).variants
    assert found["mine"].tools == ("arrays", "notebooks", "editor", "maps")
    assert found["less"].tools == ("arrays", "notebooks", "globe"), "what is named by itself stays"
    assert found["alone"].tools == ("globe",)


def test_a_group_that_is_not_there_or_has_nothing_is_a_fault(manifests: Path) -> None:
    apt = yaml.safe_load((manifests / "tools/arrays.yaml").read_text())["sources"][0]
    another(manifests, "satellite", group="orbit", sources=[{**apt, "when": {"accelerator": "gpu"}}])
    another(manifests, "maps", group="geospatial", requires=["layers"])
    another(manifests, "layers", group="other")
    keys = {"base": "tiny-12", "accelerator": "cpu"}
    one = variant(manifests, "one", **keys, tools=["group:geospatal"])
    two = variant(manifests, "two", **keys, tools=["group:orbit"])
    three = variant(manifests, "three", **keys, tools=["group:geospatial"], without=["mapps"])
    four = variant(manifests, "four", extends="tiny", tools=["group:other"], without=["group:orbit", "group:other"])
    variant(manifests, "five", extends="four")
    assert set(faults(manifests)) == {
        f"{one}:5: unknown group 'geospatal' (did you mean 'geospatial'?)",
        f"{two}:5: group 'orbit' has no tool for tiny-12, cpu",
        f"{three}:7: no group under 'tools' has a tool 'mapps' (did you mean 'maps'?) to go without",
        f"{three}:5: tool 'maps' needs 'layers' beside it",
        f"{four}:6: variant 'tiny' has no tool of group 'orbit' to go without",
        f"{four}:4: group 'other' stands under 'tools' and under 'without'",
    }


def test_a_tool_that_comes_to_a_group_comes_to_its_variants(manifests: Path, tmp_path: Path) -> None:
    another(manifests, "maps", group="geo")
    variant(manifests, "mine", base="tiny-12", accelerator="cpu", tools=["group:geo"])
    overlay = tmp_path / "overlay"
    (overlay / "tools").mkdir(parents=True)
    another(manifests, "ours", group="geo")
    (manifests / "tools/ours.yaml").rename(overlay / "tools/ours.yaml")
    assert catalog.load(main=manifests).variants["mine"].tools == ("maps",)
    assert catalog.load([overlay], main=manifests).variants["mine"].tools == ("maps", "ours")


# --- formats -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("group: ide", "group: ide\nformats: [qcow2, ami]"),
        ("sources:\n  - url:", "sources:\n  - formats: [qcow2, ami]\n    url:"),
    ],
    ids=["tool", "source"],
)
def test_a_tool_that_needs_a_format_the_variant_lacks_is_refused(manifests: Path, old: str, new: str) -> None:
    edit(manifests / "tools/editor.yaml", old, new)
    path = manifests / "variants/tiny.yaml"
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "editor" in text)
    assert faults(manifests) == (
        f"{path}:{line}: tool 'editor' is only for qcow2, ami, and the formats of 'tiny' are docker: "
        "add one of those, or take the tool out",
    )
    edit(path, "accelerator: cpu", "accelerator: cpu\nformats: [docker, qcow2]")
    assert catalog.load(main=manifests)


def only_for_machines(manifests: Path) -> None:
    """A variant for two formats, 'editor' only for one of them, and 'small', which extends it for the other."""
    edit(manifests / "tools/editor.yaml", "group: ide", "group: ide\nformats: [qcow2]")
    edit(manifests / "variants/tiny.yaml", "accelerator: cpu", "accelerator: cpu\nformats: [docker, qcow2]")
    (manifests / "variants/small.yaml").write_text("variant: small\nextends: tiny\nformats: [docker]\n")


def test_an_inherited_tool_for_other_formats_is_left_out_but_nothing_may_need_it(manifests: Path) -> None:
    only_for_machines(manifests)
    loaded = catalog.load(main=manifests)
    assert [left.tool for left in locks.unsuited(loaded, loaded.variants["small"])] == ["editor"]
    edit(manifests / "tools/notebooks.yaml", "requires: [arrays]", "requires: [arrays, editor]")
    (fault,) = faults(manifests)
    assert "small.yaml:" in fault
    assert "tool 'notebooks' needs 'editor' beside it, which is only for qcow2" in fault
    assert "the formats of 'small' are docker" in fault


def test_a_tool_for_other_formats_claims_nothing(manifests: Path) -> None:
    only_for_machines(manifests)
    (manifests / "variants/small.yaml").write_text("variant: small\nextends: tiny\nformats: [docker]\ntools: [other]\n")
    editor = (manifests / "tools/editor.yaml").read_text()
    (manifests / "tools/other.yaml").write_text(
        editor.replace("tool: editor", "tool: other").replace("formats: [qcow2]\n", "")
    )
    assert catalog.load(main=manifests)
    edit(manifests / "variants/small.yaml", "[docker]", "[docker, qcow2]")
    assert any("tools 'editor' and 'other' both want" in fault for fault in faults(manifests))


def test_what_a_base_asks_for_is_checked_like_a_tool_s(manifests: Path) -> None:
    path = manifests / "bases/tiny-12.yaml"
    edit(path, "  python: [python3-minimal]", "  python: [Python 3, Perl]")
    edit(path, "system: [ca-certificates]", "system: 7")
    wrong = "string should match pattern '^[a-z0-9][a-z0-9+.-]+$'"
    assert faults(manifests) == (
        f"{path}:10: system: input should be a valid tuple",
        f"{path}:13: runtimes.python: {wrong}",
    )


def test_a_base_says_what_it_can_come_out_as(manifests: Path) -> None:
    edit(manifests / "bases/tiny-12.yaml", "os: debian", "os: debian\nformats: [qcow2, azure]")
    (fault,) = faults(manifests)
    assert "base 'tiny-12' cannot come out as docker, only as qcow2, azure" in fault


# --- retired tools -------------------------------------------------------------------------------------------

ROW: dict[str, object] = {
    "tool": "slates",
    "aliases": ["stone-slates"],
    "since": "2019-12-05",
    "why": "everybody writes on paper",
    "successors": ["notebooks"],
    "source": "https://example.invalid/slates",
}


def retired(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "retired.yaml"
    path.write_text(yaml.safe_dump({"retired": list(rows)}, sort_keys=False))
    return path


@pytest.mark.parametrize("name", ["slates", "stone-slates"])
def test_a_retired_tool_is_known_by_each_of_its_names(manifests: Path, name: str) -> None:
    retired(manifests, ROW)
    edit(manifests / "variants/tiny.yaml", "editor]", f"editor, {name}]")
    (fault,) = faults(manifests)
    assert fault.endswith(
        f"tool '{name}' is retired since 2019-12-05: everybody writes on paper (https://example.invalid/slates); "
        "in its place: notebooks"
    )


def test_an_overlay_adds_retired_tools_and_may_have_one_as_its_own(manifests: Path, tmp_path: Path) -> None:
    retired(manifests, ROW)
    mine = tmp_path / "mine"
    (mine / "tools").mkdir(parents=True)
    retired(mine, {**ROW, "tool": "editor-1", "aliases": [], "since": 2021})
    found = catalog.load([mine], main=manifests)
    assert {"slates", "stone-slates", "editor-1"} == set(found.retired)
    with pytest.raises(InputError, match="retired since 2021"):
        found.refuse_retired(["arrays", "Editor-1"])
    text = (manifests / "tools/arrays.yaml").read_text().replace("tool: arrays", "tool: slates")
    (mine / "tools/slates.yaml").write_text(text)
    catalog.load([mine], main=manifests).refuse_retired(["slates"])


def test_a_row_of_retired_tools_is_checked_like_everything(manifests: Path) -> None:
    path = retired(manifests, ROW, {**ROW, "tool": "chalk", "since": "long ago", "aliases": []})
    assert faults(manifests) == (f"{path}:12: 'long ago' is no date: YYYY, YYYY-MM or YYYY-MM-DD",)
    retired(manifests, {**ROW, "successors": ["notebook"]}, {**ROW, "aliases": []})
    found = "\n".join(faults(manifests))
    assert "successor of 'slates': unknown tool 'notebook' (did you mean 'notebooks'?)" in found
    assert "'slates' stands twice" in found


def test_every_tool_that_images_once_had_is_known() -> None:
    asked = ["microsoft-r-open", "r-server", "cntk", "caffe2", "mxnet", "theano", "chainer"]
    found = catalog.load()
    assert [name for name in asked if "is retired since" not in found.no_tool(name)] == []


def test_an_unknown_variant_is_an_input_error_with_the_near_one(manifests: Path) -> None:
    with pytest.raises(InputError, match=r"unknown variant 'tinny' \(did you mean 'tiny'\?\)"):
        catalog.load(main=manifests).variant("tinny")
    with pytest.raises(InputError, match="no variant is named"):
        catalog.load(main=manifests).variant("")


WORDS = (
    *("a", "b: ", "- ", ": ", "\n", "\n  ", " ", ",", "[", "]", "{", "}", "#", "&a ", "*a", "|", ">-", "'", '"', "\\"),
    *("<<: ", "%", "---", "...", "!", "!!str ", "?", "\t", "~", "1:2", "0x1", "2026-01-01"),
    *("\r", "\x85", "\u2028", "é", "\x07", "\ufeff"),
)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(WORDS), max_size=20).map("".join))
def test_libyaml_reads_what_the_parser_in_python_reads(text: str) -> None:
    def reading() -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.yaml"
            path.write_text(text, encoding="utf-8")
            read = read_yaml(path)
        return read.replace(str(path), "") if isinstance(read, str) else read

    assert yaml.__with_libyaml__, "else this test could not fail"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        slowly = reading()
    assert repr(reading()) == repr(slowly)


@given(st.text(max_size=60))
def test_any_text_as_a_manifest_gives_data_or_a_fault_with_a_line(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        read = read_yaml(path)
    assert not isinstance(read, str) or read.startswith(f"{path}:")
