"""A Python package of which only the source is published: locked without running it, built offline, twice the same."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from workbench import BIG, CUT_OFF, ROOT, Catalog, Invoke, forget, image

pytestmark = pytest.mark.slow

VARIANT = "e2e-source"
MANIFESTS = {
    "variants/e2e-source.yaml": """
variant: e2e-source
summary: Debian 12 with a package that comes as source
base: debian-12
accelerator: cpu
tools: [tini, greeting]
""",
    "tools/greeting.yaml": """
tool: greeting
summary: Says hello
homepage: https://example.invalid
license: MIT
group: python-base
env: greeting
sources:
  - pypi: [{sdist: "greeting[bars] ~= 1.0"}]
    build: {pypi: ["setuptools ~= 80.0"]}
checks:
  - version: python -c "import greeting; print(greeting.version)"
  - run: greeting
    expect: ^hello, tqdm$
""",
}
SOURCE = {
    "PKG-INFO": "Metadata-Version: 2.4\nName: greeting\nVersion: 1.2\nProvides-Extra: bars\n"
    'Requires-Dist: tqdm; extra == "bars"\nDynamic: requires-dist\n',
    "setup.py": "import pathlib\nfrom setuptools import setup\n"
    "mark = pathlib.Path({mark!r})\nif mark.parent.exists():\n    mark.touch()\n"
    "setup(name='greeting', version='1.2', py_modules=['greeting'], extras_require={{'bars': ['tqdm']}},\n"
    "      entry_points={{'console_scripts': ['greeting = greeting:main']}})\n",
    # as setuptools packs it
    "greeting.egg-info/entry_points.txt": "[console_scripts]\ngreeting = greeting:main\n",
    "greeting.py": "version = '1.2'\n\n\ndef main():\n    import tqdm\n\n    print('hello,', tqdm.__name__)\n",
}


@dataclass(frozen=True)
class Own(Catalog):
    """The catalog of variant `e2e-source`."""

    @property
    def words(self) -> tuple[str, ...]:
        return ("--variant", VARIANT, "--catalog", str(self.folder))

    @property
    def lock(self) -> Path:
        return self.folder / "locks" / f"{VARIANT}.json"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    """The catalog; its base is locked as that of the big variant, so that it need not be made anew."""
    found = Own(tmp_path / "catalog")
    for name, text in MANIFESTS.items():
        (found.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (found.folder / name).write_text(text)
    big = json.loads((ROOT / "manifests" / "locks" / f"{BIG}.json").read_text())
    shared = [section for section in big["sections"] if not section["tools"] and section["id"] != "system"]
    found.lock.parent.mkdir()
    found.lock.write_text(json.dumps({**big, "variant": VARIANT, "choices": [], "sections": shared}))
    try:
        yield found
    finally:
        forget(VARIANT)


def pack(folder: Path, mark: Path) -> None:
    """The source distribution; its own program leaves `mark` behind on the machine that runs it."""
    folder.mkdir()
    with tarfile.open(folder / "greeting-1.2.tar.gz", "w:gz") as archive:
        for name, text in SOURCE.items():
            data = text.format(mark=str(mark)).encode() if name == "setup.py" else text.encode()
            member = tarfile.TarInfo(f"greeting-1.2/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_a_source_is_locked_unrun_and_built_offline_twice_the_same(own: Own, invoke: Invoke, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pack(tmp_path / "links", mark)
    invoke("build", *own.words, "--update-stale", env={"PIP_FIND_LINKS": str(tmp_path / "links")}).passed()
    assert not mark.exists(), "nothing of a package runs on this host"
    sections = {one["id"]: {pin["name"]: pin["file"] for pin in one["pins"]} for one in own.read()["sections"]}
    assert sections["env-greeting"].keys() == {"greeting", "tqdm"}
    assert sections["env-greeting"]["greeting"] == "greeting-1.2.tar.gz"
    assert sections["greeting-build-pypi"].keys() == {"setuptools"}
    report = json.loads((ROOT / "build" / VARIANT / "report.json").read_text())
    assert {one["outcome"] for one in report["results"] if one["tool"] == "greeting"} == {"passed"}
    found = image(f"dsvm/{VARIANT}:latest")
    assert found is not None
    before = found["RootFS"]["Layers"]
    # what was fetched is enough: no index, no network, and no setuptools in the image
    invoke("build", *own.words, "--offline", "--no-cache", under=tuple(CUT_OFF)).passed()
    again = image(f"dsvm/{VARIANT}:latest")
    assert again is not None and again["RootFS"]["Layers"] == before
