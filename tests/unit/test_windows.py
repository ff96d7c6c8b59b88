"""Windows variants: what of a tool is for them, their wheels, and the road from lock to the text that provisions."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from packaging.tags import Tag
from powershell import faults
from test_pypi import index, wheel
from tiny import project
from winget_tree import Tree

from dsvm import catalog as catalogs
from dsvm import lock as locks
from dsvm import pipeline
from dsvm.catalog import applicable
from dsvm.checks.planned import planned_checks
from dsvm.container import buildkit as docker
from dsvm.ecosystems import Context
from dsvm.ecosystems.pypi import platforms as pypi_platforms
from dsvm.host import Host
from dsvm.lock.selection import _unchecked
from dsvm.model import Base, Check, InputError, LockError
from dsvm.model.tools import When
from dsvm.plan import make_plan
from dsvm.plan import rendering as render
from dsvm.plan.manifest import image_manifest
from dsvm.screen import matrix, variants
from dsvm.session import BuildOptions, Session
from dsvm.store import Store

OURS = project()
WINDOWS = [name for name, variant in OURS.variants.items() if OURS.bases[variant.base].platform == "windows"]
LINUX_BASE, WINDOWS_BASE = OURS.bases["debian-12"], OURS.bases["windows-2022"]


# --- what is for which platform ----------------------------------------------------------------------------


def test_a_condition_on_the_platform() -> None:
    def holds(here: Base, **when: object) -> bool:
        return When.model_validate(when).holds(accelerator="cpu", base=here)

    assert holds(WINDOWS_BASE, platform="windows") and not holds(LINUX_BASE, platform="windows")
    assert holds(LINUX_BASE, platform="linux") and not holds(WINDOWS_BASE, platform="linux")
    assert holds(WINDOWS_BASE) and holds(LINUX_BASE)
    assert not holds(WINDOWS_BASE, platform="windows", base="debian-12")


def test_a_shell_script_is_no_check_for_windows() -> None:
    for script, there in (("checks/a.sh", False), ("checks/a.py", True), ("checks/a.R", True)):
        check = Check(script=script)
        assert check.holds(accelerator="cpu", base=LINUX_BASE)
        assert check.holds(accelerator="cpu", base=WINDOWS_BASE) == there


@pytest.mark.parametrize("name", WINDOWS)
def test_every_tool_of_our_variants_for_windows_has_a_source_and_both_kinds_of_checks(name: str) -> None:
    variant = OURS.variants[name]
    tools = locks.tools_of(OURS, variant)
    assert len(tools) > 40
    assert [tool.tool for tool in tools if not applicable(tool, variant, WINDOWS_BASE)] == []
    assert {tool.tool: _unchecked(tool, variant, WINDOWS_BASE) for tool in tools} == dict.fromkeys(
        (tool.tool for tool in tools), ""
    )


def test_a_base_of_windows_has_python_without_glibc() -> None:
    keys = {"base": "b", "summary": "", "os": "windows", "release": "2022", "runtimes": {"python": ["P.Q"]}}
    assert Base.model_validate({**keys, "python": "3.13"}).platform == "windows"
    for wrong in (keys, {**keys, "os": "debian", "python": "3.13"}):
        with pytest.raises(ValueError, match="says its version"):
            Base.model_validate(wrong)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("Tracker", "should match pattern"),
        ("{package: Vendor.Tracker, versoin: 2.*}", "unknown key 'versoin' (did you mean 'version'?)"),
        ("{installer: https://example.invalid/a.exe, version: '1', type: exe}", "'silent' is missing"),
    ],
)
def test_a_wrong_winget_source_is_a_fault_with_its_line(tmp_path: Path, item: str, said: str) -> None:
    (tmp_path / "tools").mkdir()
    text = (tiny.WINDOWS / "tools/tracker.yaml").read_text().replace("Vendor.Tracker@2.*", item)
    (tmp_path / "tools/tracker.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        catalogs.load([tmp_path], main=tiny.WINDOWS)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{tmp_path}/tools/tracker.yaml:8: ") and said in fault


# --- wheels ------------------------------------------------------------------------------------------------


def test_wheels_are_those_for_windows() -> None:
    tags = list(pypi_platforms.wheel_tags(WINDOWS_BASE))
    assert {tag.platform for tag in tags} == {"win_amd64", "any"}
    assert tags[0] == Tag("cp313", "cp313", "win_amd64")
    markers = pypi_platforms.markers(WINDOWS_BASE)
    assert (markers["sys_platform"], markers["os_name"], markers["platform_machine"]) == ("win32", "nt", "AMD64")


# --- the road ----------------------------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A workshop with the small catalog for Windows, a real index of wheels and a real tree of winget manifests."""
    tree = Tree(tmp_path / "winget")
    for package, version in (("Vendor.Python", "3.13.1"), ("Vendor.Runtime", "14.5"), ("Vendor.Tracker", "2.1")):
        tree.add(package, version, tree.installer(f"{package}.exe", InstallerType="inno", Scope="machine"))
    wheels = index(
        tmp_path / "index",
        wheel("arrays", "1.4.0", "cp313-cp313-manylinux_2_17_x86_64"),
        wheel("arrays", "1.3.0", "cp313-cp313-win_amd64", requires=("only-there; sys_platform == 'win32'",)),
        wheel("only_there", "1.0"),
        wheel("ipykernel", "7.0.0", requires=("nowhere; sys_platform != 'win32'",)),
        wheel("pip", "26.0"),
        wheel("uv", "0.13.9", "py3-none-win_amd64"),
    )
    said: list[str] = []
    session = Session(said.append, said.append)
    (tmp_path / "mine").mkdir()
    session.catalog = replace(tiny.windows_catalog(), folders=(tiny.WINDOWS, tmp_path / "mine"))
    environ = {"HOME": str(tmp_path), "PIP_INDEX_URL": wheels.replace("only_there", "only-there")}
    session.host = Host(environ=environ, sources={"winget": (tree.url,)}, etc=tmp_path / "etc")
    session.store = Store(tmp_path / "store")
    (tmp_path / "index/simple/only-there").symlink_to(tmp_path / "index/simple/only_there")
    return session


def test_from_manifests_to_a_folder_that_provisions_a_virtual_machine(session: Session, tmp_path: Path) -> None:
    locked = pipeline.lock(session, "tiny-windows")
    assert locked.base_kind == "machine"
    pins = {section.id: [pin.file.rsplit("/", 1)[-1] for pin in section.pins] for section in locked.sections}
    assert pins["base"] == []
    assert "arrays-1.3.0-cp313-cp313-win_amd64.whl" in pins["env-base"], "the newer one is for Linux"
    assert "only_there-1.0-py3-none-any.whl" in pins["env-base"]
    assert pins["system"] == ["Vendor.Python.exe", "Vendor.Runtime.exe", "Vendor.Tracker.exe"]
    system = locked.section("system")
    assert system is not None and system.extra["order"] == ["Vendor.Python", "Vendor.Runtime", "Vendor.Tracker"]
    assert pipeline.lock(session, "tiny-windows") == locked, "and locking again finds nothing to do"

    pipeline.fetch(session, "tiny-windows", update_stale=False, jobs=2)
    plan = make_plan(session.catalog, locked)
    target = render.write(plan, tmp_path / "build")
    assert target == tmp_path / "build/provision.ps1"
    data = target.read_bytes()
    assert data.startswith(codecs.BOM_UTF8), "Windows PowerShell takes a script without one for its code page"
    assert faults(data.decode("utf-8-sig")) == []
    assert sorted(path.name for path in (tmp_path / "build/scripts").iterdir()) == [
        "Common.ps1", "Install-Pypi.ps1", "Install-Winget.ps1"
    ]  # fmt: skip
    spec = json.loads((tmp_path / "build/files/ProgramData/jupyter/kernels/arrays/kernel.json").read_text())
    assert spec["argv"][0] == r"C:\dsvm\envs\base\Scripts\python.exe"
    assert spec["env"]["PATH"] == r"C:\dsvm\envs\base\Scripts;${PATH}"

    folders = docker.prepare(plan, session.store, tmp_path / "build")
    described = json.loads((folders["store-system"] / "section.json").read_text())
    for name in described["extra"]["order"]:
        assert (folders["store-system"] / described["extra"]["installers"][name]["file"]).is_file()
    assert (folders["store-builder-pypi-pypi"] / "uv-0.13.9-py3-none-win_amd64.whl").is_file()


def test_what_an_image_of_windows_is_said_to_hold() -> None:
    plan = make_plan(tiny.windows_catalog(), tiny.windows_lock())
    assert [stage.name for stage in plan.stages] == ["system", "env-base"]
    assert [stage.parent for stage in plan.stages] == ["base", "system"]
    assert set(image_manifest(plan)["packages"]) == {"base", "system", "env-base"}, "uv only installs"
    assert plan.services == {}, "nothing of a virtual machine serves by itself"
    assert [*plan.files] == ["/ProgramData/jupyter/kernels/arrays/kernel.json"], "other small files are for Linux"
    names = [case.name for case in planned_checks(plan) if case.tool == "tracker"]
    assert names == ["commands are found and start", "version", "run: tracker --check"]
    versions = {tool.name: (tool.version, tool.ecosystem) for tool in plan.tools}
    assert versions == {"arrays": ("1.4.0", "pypi"), "tracker": ("2.1", "winget")}


def test_a_variant_for_virtual_machines_alone_is_neither_built_nor_verified_as_a_container(session: Session) -> None:
    walks: tuple[Callable[[], object], ...] = (
        lambda: pipeline.build(session, "tiny-windows", BuildOptions()),
        lambda: pipeline.verify(session, "tiny-windows", "docker", only=()),
    )
    for walk in walks:
        with pytest.raises(InputError, match="tiny-windows has no container image: its formats are azure") as caught:
            walk()
        assert "invoke render --variant tiny-windows" in caught.value.hint
    with pytest.raises(LockError, match="tiny-windows has no lock") as missing:
        pipeline.render(session, "tiny-windows", "docker", old_packer=False)
    assert missing.value.hint == "Run: invoke lock --variant tiny-windows"


def test_a_tool_that_nothing_checks_on_windows_is_not_locked_for_it(session: Session) -> None:
    tracker = session.catalog.tools["tracker"]
    for checks, what in ((tracker.checks[:2], "working check"), (tracker.checks[1:], "'version' check")):
        tool = tracker.model_copy(update={"checks": checks})
        session.catalog = replace(session.catalog, tools={**session.catalog.tools, "tracker": tool})
        with pytest.raises(LockError, match=f"tool 'tracker' has no {what}.* for tiny-2022, cpu"):
            pipeline.lock(session, "tiny-windows")


def test_a_machine_without_a_tree_of_manifests_is_told(session: Session, tmp_path: Path) -> None:
    session.host = replace(session.host, sources={"winget": ("http://127.0.0.1:9",)})
    with pytest.raises(LockError, match="no network connection to 127") as caught:
        pipeline.lock(session, "tiny-windows")
    assert "tool 'tracker' cannot be had from any of its sources" in caught.value.message
    assert not (tmp_path / "mine/locks").exists(), "nothing is half-written"


def test_the_list_says_which_ecosystems_are_for_windows() -> None:
    (line,) = matrix.ecosystem_lines(variants.listed_bases(OURS))
    assert line.startswith("cpu-windows, gpu-windows: tools come from winget and pypi alone; apt, conda, cran, ")
    assert line.endswith("npm, url have nothing for Windows Server 2022")


def test_a_base_for_containers_must_come_from_somewhere(tmp_path: Path) -> None:
    from dsvm.ecosystems import bases

    base = LINUX_BASE.model_copy(update={"image": None, "bootstrap": None})
    host = Host(environ={"HOME": str(tmp_path)}, etc=tmp_path)
    context = Context(base=base, host=host, store=Store(tmp_path / "store"), work=tmp_path)
    with pytest.raises(LockError, match="it names no registry image, and there is no 'bootstrap'"):
        bases.resolve(context)
    assert bases.resolve(replace(context, base=base.model_copy(update={"formats": ("ami",)}))).kind == "machine"
