"""Manifests in, a catalog or every fault at once out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsvm import catalog
from dsvm.errors import InputError
from dsvm.overview import schema_texts

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


def test_the_schemas_for_editors_are_current() -> None:
    written = {path.name: path.read_text() for path in (catalog.MANIFESTS / "schema").glob("*.json")}
    assert written == schema_texts(), "run: invoke schema"


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


def test_an_unknown_variant_is_an_input_error_with_the_near_one(manifests: Path) -> None:
    with pytest.raises(InputError, match=r"unknown variant 'tinny' \(did you mean 'tiny'\?\)"):
        catalog.load(main=manifests).variant("tinny")
    with pytest.raises(InputError, match="no variant is named"):
        catalog.load(main=manifests).variant("")


@given(st.text(max_size=60))
def test_any_text_as_a_manifest_gives_data_or_a_fault_with_a_line(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        read = catalog.read_yaml(path)
    assert not isinstance(read, str) or read.startswith(f"{path}:")
