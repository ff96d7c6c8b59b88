"""The Packer templates of all clouds: read by Packer itself, without a network, and by a parser of its language."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import golden_file
import hcl2
import pytest
import tiny
from tiny import project

from dsvm import lock as locks
from dsvm.cloud import publishing as publish
from dsvm.cloud.providers.aws import Aws
from dsvm.cloud.providers.azure import Azure, Gallery
from dsvm.cloud.providers.gcp import Gcp
from dsvm.cloud.target import FORMATS
from dsvm.model import Format, InputError, Plan
from dsvm.model.bases import CloudImages
from dsvm.plan import make_plan
from dsvm.plan import rendering as render
from dsvm.plan.packer import SOURCES

HERE = Path(__file__).parents[1] / "golden"
PACKER = pytest.mark.skipif(not shutil.which("packer"), reason="no Packer here: apt-get install packer")
SETTINGS: dict[Format, Any] = {
    "azure": Azure(
        resource_group="images",
        location="westeurope",
        storage_account="ourimages",
        gallery=Gallery(name="ours", regions=("northeurope",)),
        tags={"team": 'data "science" ${x}'},
    ),
    "ami": Aws(region="eu-central-1", bucket="our-images", regions=("eu-west-1",), tags={"team": "data"}),
    "gcp": Gcp(project="our-project", bucket="our-images", zone="europe-west1-b", location="eu", labels={"a": "b"}),
}
KINDS: list[tuple[str, Format]] = [
    ("linux", "azure"),
    ("linux", "ami"),
    ("linux", "gcp"),
    ("windows", "azure"),
    ("windows", "ami"),
]
# What a newer Packer's plugins know, and 1.6.6 rejects: it may stand only in what is rendered for the newer one.
NEWER = (
    "required_plugins",
    "security_type",
    "secure_boot",
    "vtpm",
    "imds_support",
    "metadata_options",
    "guest_os_feat",
)


@cache
def plan_of(platform: str, format: Format) -> Plan:
    if platform == "windows":
        plan = make_plan(tiny.windows_catalog(), tiny.windows_lock(), format)
        return plan.model_copy(update={"base": project().bases["windows-2022"]})
    catalog = tiny.machine_catalog()
    return make_plan(catalog, tiny.lock(catalog, "tiny-machine"), format)


@cache
def texts() -> dict[str, str]:
    """Name of the golden file -> all files of one template, one after the other."""
    return {
        f"{platform}-{format}{'-new' if plugins else ''}.pkr.hcl": "\n".join(
            f"# --- {name}\n{text}"
            for name, text in render.packer_files(plan_of(platform, format), plugins=plugins).items()
        )
        for platform, format in KINDS
        for plugins in (False, True)
    }


@pytest.mark.parametrize("name", sorted(texts()))
def test_templates_are_as_they_were_read(name: str) -> None:
    golden_file.check(HERE / "packer" / name, texts()[name])


@pytest.mark.parametrize("name", sorted(texts()))
def test_templates_are_typed_described_and_keep_secrets(name: str) -> None:
    parsed = hcl2.loads(texts()[name])
    variables = {key.strip('"'): value for one in parsed["variable"] for key, value in one.items()}
    for key, value in variables.items():
        assert "type" in value and "description" in value, key
        if "secret" in key:
            assert value["sensitive"] is True
            assert "env(" in value["default"]
    assert len(parsed["build"]) == 1
    assert len(parsed["source"]) == 1
    newer = [word for word in NEWER if word in texts()[name]]
    assert bool(newer) == name.endswith("-new.pkr.hcl")


OURS = project()


@pytest.mark.parametrize("variant", sorted(OURS.variants))
def test_a_variant_names_only_clouds_that_its_base_can_be_built_in(variant: str) -> None:
    one = OURS.variants[variant]
    base = OURS.bases[one.base]
    for format in set(FORMATS).intersection(one.formats):
        assert base.platform in SOURCES[format].steps
        assert getattr(base.cloud, format) is not None
        assert base.platform == "windows" or base.machine, "what a machine needs beside the vendor's image"


def locked_plans() -> list[tuple[str, Format]]:
    locked = [name for name in sorted(OURS.variants) if locks.find(OURS, name) is not None]
    return [(name, format) for name in locked for format in FORMATS if format in OURS.variants[name].formats]


@PACKER
@pytest.mark.parametrize(("variant", "format"), locked_plans())
def test_packer_takes_the_templates_of_our_own_variants(variant: str, format: Format, tmp_path: Path) -> None:
    lock = locks.find(OURS, variant)
    assert lock is not None
    plan = make_plan(OURS, lock, format)
    render.write_packer(plan, tmp_path / "packer", plugins=False)
    for text in render.packer_files(plan, plugins=True).values():
        assert hcl2.loads(text)
    (tmp_path / "install.tar").write_text("x")
    values = publish.packer_values(SETTINGS[format], publish.release(plan, format))
    if format == "azure":
        values |= {"subscription_id": "s", "tenant_id": "t", "client_id": "c", "client_secret": "hush"}
    values |= {"archive": str(tmp_path / "install.tar"), "archive_sha256": "0" * 64}
    formatted = packer("fmt", "-check", "-diff", tmp_path / "packer")
    assert (formatted.returncode, formatted.stdout) == (0, "")
    done = validated(tmp_path, values)
    assert done.returncode == 0, done.stdout + done.stderr


def packer(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Packer with nothing of this host's environment: no secret, no news from the network."""
    env = {"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(["packer", *words], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Format, dict[str, Any]]:
    """A template on the disk, and values for its variables as the user's settings give them."""
    platform, format = request.param
    plan = plan_of(platform, format)
    render.write_packer(plan, tmp_path / "packer", plugins=False)
    (tmp_path / "install.tar").write_text("x")
    values = publish.packer_values(SETTINGS[format], publish.release(plan, format))
    return tmp_path, format, {**values, "archive": str(tmp_path / "install.tar"), "archive_sha256": "0" * 64}


def validated(folder: Path, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (folder / "values.pkrvars.json").write_text(json.dumps(values))
    return packer("validate", f"-var-file={folder / 'values.pkrvars.json'}", folder / "packer")


@PACKER
def test_packer_takes_the_template_and_what_the_settings_give(written: tuple[Path, Format, dict[str, Any]]) -> None:
    folder, format, values = written
    if format == "azure":
        values |= {"subscription_id": "s", "tenant_id": "t", "client_id": "c", "client_secret": "hush"}
    formatted = packer("fmt", "-check", "-diff", folder / "packer")
    assert (formatted.returncode, formatted.stdout) == (0, "")
    done = validated(folder, values)
    assert done.returncode == 0, done.stdout + done.stderr


@PACKER
@pytest.mark.parametrize("written", [("linux", "azure")], indirect=True, ids=["azure"])
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("archive_sha256", "0" * 63, "64 hexadecimal digits"),
        ("archive_sha256", "0" * 64 + "\nx", "64 hexadecimal digits"),
        ("location", "", "A region of Azure"),
        ("version", "1.2", "MAJOR.MINOR.PATCH"),
        ("disk_gb", 4, "30 to 2048 GiB"),
        ("resource_group", "a/b", "a resource group"),
    ],
)
def test_packer_refuses_values_that_are_none(
    written: tuple[Path, Format, dict[str, Any]], variable: str, value: object, message: str
) -> None:
    folder, _, values = written
    done = validated(folder, {**values, variable: value})
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


@PACKER
@pytest.mark.parametrize("format", ["azure", "ami", "gcp"])
def test_a_template_for_newer_packer_is_formatted_too(tmp_path: Path, format: Format) -> None:
    render.write_packer(plan_of("linux", format), tmp_path / "packer", plugins=True)
    formatted = packer("fmt", "-check", "-diff", tmp_path / "packer")
    assert (formatted.returncode, formatted.stdout) == (0, "")


def test_every_script_that_a_template_names_lies_beside_it(written: tuple[Path, Format, dict[str, Any]]) -> None:
    folder, _, _ = written
    text = "".join(path.read_text() for path in (folder / "packer").glob("*.hcl"))
    named = {part.split('"')[0] for part in text.split("${path.root}/scripts/")[1:]}
    assert named == {path.name for path in (folder / "packer" / "scripts").iterdir()}


def test_a_base_without_an_image_in_a_cloud_is_refused() -> None:
    plan = plan_of("linux", "azure")
    bare = plan.model_copy(update={"base": plan.base.model_copy(update={"cloud": CloudImages()})})
    with pytest.raises(InputError, match="no image to start from for the format 'azure'"):
        render.packer_files(bare, plugins=False)


def test_google_needs_a_zone() -> None:
    settings = SETTINGS["gcp"].model_copy(update={"zone": None})
    with pytest.raises(InputError, match="zone: europe-west1-b"):
        publish.packer_values(settings, publish.release(plan_of("linux", "gcp"), "gcp"))
