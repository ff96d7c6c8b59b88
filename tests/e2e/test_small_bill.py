"""The bill of a small real image agrees with that of its lock, and names what somebody did to the image."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from workbench import SMALL, Catalog, Invoke, broken_image, docker

from dsvm import lock as locks
from dsvm import pipeline
from dsvm.host import find_engine
from dsvm.ledger import inventory
from dsvm.model import Plan
from dsvm.plan import make_plan
from dsvm.sbom import OTHERS, UNLOCKED, Bill, bill_of_image
from dsvm.session import Session

SITE = "/opt/envs/base/lib/python3.11/site-packages"
SPOIL = f"""
cd {SITE}
mkdir evil-6.6.dist-info
printf 'Metadata-Version: 2.4\\nName: evil\\nVersion: 6.6\\nLicense-Expression: MIT\\n' > evil-6.6.dist-info/METADATA
echo 'import os' > evil.py
rm -r requests requests-*.dist-info
echo >> tqdm/__init__.py
dpkg --force-all --purge tini
mkdir -p /usr/local/lib/node_modules/left-pad
cd /usr/local/lib/node_modules/left-pad
echo '{{"name": "left-pad", "version": "1.3.0", "license": "WTFPL"}}' > package.json
"""


@pytest.fixture(scope="module")
def session(small: Catalog) -> Session:
    return Session(print, print, overlays=[small.folder])


@pytest.fixture(scope="module")
def plan(session: Session) -> Plan:
    lock = locks.find(session.catalog, SMALL)
    assert lock is not None
    return make_plan(session.catalog, lock)


@pytest.fixture(scope="module")
def locked(session: Session) -> Bill:
    return pipeline.sbom(session, SMALL)


@pytest.fixture
def spoiled(small: Catalog, tmp_path: Path) -> Iterator[str]:
    name = "dsvm-e2e/spoiled-small:latest"
    broken_image(name, f"dsvm/{SMALL}:latest", tmp_path, textwrap.dedent(SPOIL))
    yield name
    docker("image", "rm", "--force", name)


def test_the_bills_of_image_and_lock_agree(session: Session, locked: Bill) -> None:
    found = pipeline.sbom(session, SMALL, image=True)
    assert (found.missing, found.unread, found.with_evidence(UNLOCKED), found.with_evidence(OTHERS)) == ((), (), (), ())
    for one, other in zip(found.components, locked.components, strict=True):
        assert replace(one, evidence=None, sha256=other.sha256) == other
        assert one.sha256 in (None, other.sha256)


def test_the_command_gives_the_same_bytes_each_time(invoke: Invoke, small: Catalog) -> None:
    first = invoke("sbom", "--image", *small.words).passed()
    again = invoke("sbom", "--image", *small.words).passed()
    assert first.out == again.out and json.loads(first.out)["bomFormat"] == "CycloneDX"
    assert "warning" not in again.err, again.err


def test_what_was_done_to_an_image_is_named(spoiled: str, session: Session, locked: Bill, plan: Plan) -> None:
    found = bill_of_image(locked, inventory(spoiled, plan, session.store, find_engine()), plan)
    assert {ref.rpartition("/")[2].partition("@")[0] for ref in found.missing} == {"requests", "tini"}
    assert [ref.rpartition("/")[2] for ref in found.with_evidence(UNLOCKED)] == ["evil@6.6", "left-pad@1.3.0"]
    assert [ref.rpartition("/")[2].partition("@")[0] for ref in found.with_evidence(OTHERS)] == ["tqdm"]
    purls = {one.purl.to_string(): one for one in found.components if one.evidence == UNLOCKED}
    assert purls["pkg:pypi/evil@6.6"].license == "MIT"
    assert purls["pkg:npm/left-pad@1.3.0"].section == ""
