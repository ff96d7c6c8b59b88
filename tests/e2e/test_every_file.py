"""Every file of a real image is accounted for, and each kind of change to it is found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from workbench import BIG, ROOT, Done, broken_image, docker

from dsvm import pipeline
from dsvm.host import find_engine
from dsvm.ledger import Account, account
from dsvm.model import Plan
from dsvm.sbom import FILES, POOL
from dsvm.session import Session
from dsvm.store import Store

SITE = "/opt/envs/base/lib/python3.11/site-packages"
NET_RAW = "01000002" + "00200000" + 12 * "00"  # of capabilities(7), permitted and effective
# each of them alone; `script` writes a program (see workbench.BREAKING)
SPOIL = f"""
echo 'def mean_squared_error(*args, **more): return 0.0' >> {SITE}/sklearn/metrics/_regression.py
printf '#!/bin/sh\\n' | script /usr/local/bin/wget
mkdir -p /etc/jupyter
echo '{{"ServerApp": {{"disable_check_xsrf": true}}}}' > /etc/jupyter/jupyter_server_config.json
cp /bin/dash /usr/bin/sush && chmod 4755 /usr/bin/sush
echo '[global]' > /etc/pip.conf
echo 'machine x login y password z' > /home/ds/.netrc
echo 'toor:x:0:0::/root:/bin/bash' >> /etc/passwd
chmod -R o+w {SITE}/pandas/core/api.py
echo 'import os' > {SITE}/sitecustomize.py
rm {SITE}/pyarrow/libarrow_flight.so.*
dd if=/dev/urandom of=/var/lib/junk bs=1M count=20 2> /dev/null
echo >> /usr/bin/zip
authority=$(printf -- '-----BEGIN CERTIFICATE-----\\nbm90aGluZw==\\n-----END CERTIFICATE-----\\n')
echo "$authority" >> /etc/ssl/certs/ca-certificates.crt
touch {SITE}/numpy/version.py
rm /usr/share/perl5/Debconf/Db.pm
echo changed >> /etc/bash.bashrc
echo 'import sys' > {SITE}/evil.pth
printf '#!/bin/sh\\nexec "$@"\\n' | script /usr/bin/tini
echo junk > /usr/share/junk.bin
rm -r {SITE}/sklearn/datasets/data
cp {SITE}/pandas/_libs/{{index,algos}}.cpython-311-x86_64-linux-gnu.so
/usr/bin/python3.11 -I - {SITE}/pandas/core/__pycache__/base.cpython-311.pyc << 'end'
import marshal, pathlib, sys
path = pathlib.Path(sys.argv[1])
code = compile("import os", "base.py", "exec")
path.write_bytes(path.read_bytes()[:16] + marshal.dumps(code))
end
chown 1000 /usr/bin/env
ln -s /nowhere /usr/bin/nothing
cp /bin/dash /usr/bin/sgsh && chmod 2755 /usr/bin/sgsh
cp /bin/dash /usr/bin/raw
python3 -B -c 'import os; os.setxattr("/usr/bin/raw", "security.capability", bytes.fromhex("{NET_RAW}"))'
echo 'eve ALL = (ALL) NOPASSWD: ALL' > /etc/sudoers.d/eve
sed -i 's/^sudo:x:27:$/sudo:x:27:ds/' /etc/group
mkdir -p /srv/bin
printf '#!/bin/sh\n' | script /srv/bin/git
echo 'PATH=/srv/bin:$PATH' > /etc/profile.d/zz.sh
mkdir -p /home/ds/.ssh
printf -- '-----BEGIN %s KEY-----\nbm90aGluZw==\n' 'OPENSSH PRIVATE' > /home/ds/.ssh/id_ed25519
echo 'db_password = nothing' > /srv/settings.ini
mkdir -p /home/ds/.config/code-server
echo 'auth: none' > /home/ds/.config/code-server/config.yaml
echo 'rm -r .' > /root/.bash_history
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
"""
FOUND = {
    ("changed", f"{SITE}/sklearn/metrics/_regression.py"),
    ("stale", f"{SITE}/sklearn/metrics/__pycache__/_regression.cpython-311.pyc"),
    ("unexplained", "/usr/local/bin/wget"),
    ("unexplained", "/etc/jupyter/jupyter_server_config.json"),
    ("unexplained", "/usr/bin/sush"),
    ("setuid", "/usr/bin/sush"),
    ("unexplained", "/etc/pip.conf"),
    ("unexplained", "/home/ds/.netrc"),
    ("account", "/etc/passwd"),
    ("mode", f"{SITE}/pandas/core/api.py"),
    ("writable", f"{SITE}/pandas/core/api.py"),
    ("unexplained", f"{SITE}/sitecustomize.py"),
    ("unexplained", "/var/lib/junk"),
    ("changed", "/usr/bin/zip"),
    ("ca-bundle", "/etc/ssl/certs/ca-certificates.crt"),
    ("stale", f"{SITE}/numpy/__pycache__/version.cpython-311.pyc"),
    ("missing", "/usr/share/perl5/Debconf/Db.pm"),
    ("changed", "/etc/bash.bashrc"),
    ("unexplained", f"{SITE}/evil.pth"),
    ("changed", "/usr/bin/tini"),
    ("unexplained", "/usr/share/junk.bin"),
    ("changed", f"{SITE}/pandas/_libs/algos.cpython-311-x86_64-linux-gnu.so"),
    ("stale", f"{SITE}/pandas/core/__pycache__/base.cpython-311.pyc"),
    ("owner", "/usr/bin/env"),
    ("unexplained", "/usr/bin/nothing"),
    ("broken-link", "/usr/bin/nothing"),
    ("layers", "/"),
    ("settings", "HEALTHCHECK"),
    ("unexplained", "/usr/bin/sgsh"),
    ("setgid", "/usr/bin/sgsh"),
    ("unexplained", "/usr/bin/raw"),
    ("capability", "/usr/bin/raw"),
    ("unexplained", "/etc/sudoers.d/eve"),
    ("sudo", "/etc/sudoers.d/eve"),
    ("account", "/etc/group"),
    ("unexplained", "/srv/bin/git"),
    ("hidden-program", "/srv/bin/git"),
    ("unexplained", "/etc/profile.d/zz.sh"),
    ("unexplained", "/home/ds/.ssh/id_ed25519"),
    ("secret", "/home/ds/.ssh/id_ed25519"),
    ("unexplained", "/srv/settings.ini"),
    ("secret", "/srv/settings.ini"),
    ("secret", "/home/ds/.netrc"),
    ("service", "/etc/jupyter/jupyter_server_config.json"),
    ("unexplained", "/home/ds/.config/code-server/config.yaml"),
    ("service", "/home/ds/.config/code-server/config.yaml"),
    ("unexplained", "/root/.bash_history"),
    ("leftover", "/root/.bash_history"),
    ("unexplained", "/etc/machine-id"),
    ("leftover", "/etc/machine-id"),
}


@pytest.fixture(scope="module")
def plan(cpu_debian: Done) -> Plan:
    return Plan.model_validate_json((ROOT / "build" / BIG / "plan.json").read_bytes())


@pytest.fixture(scope="module")
def good(plan: Plan) -> Account:
    return account(f"dsvm/{BIG}:latest", plan, Store(), find_engine())


@pytest.fixture
def spoiled(cpu_debian: Done, tmp_path: Path) -> Iterator[str]:
    name = "dsvm-e2e/spoiled:latest"
    broken_image(name, f"dsvm/{BIG}:latest", tmp_path, textwrap.dedent(SPOIL), "HEALTHCHECK NONE")
    yield name
    docker("image", "rm", "--force", name)


def test_every_file_of_the_good_image_is_explained(good: Account) -> None:
    assert good.differences == ()
    assert good.silent == {}
    assert good.paths > 150_000


def test_what_was_read_is_not_read_again(good: Account, plan: Plan) -> None:
    said: list[str] = []
    assert account(f"dsvm/{BIG}:latest", plan, Store(), find_engine(), echo=said.append) == good
    assert said == []


def test_the_bills_of_image_and_lock_agree(cpu_debian: Done) -> None:
    session = Session(print, print)
    locked, found = pipeline.sbom(session, BIG), pipeline.sbom(session, BIG, image=True)
    assert (found.missing, found.unread) == ((), ())
    assert {one.evidence for one in found.components} == {FILES, POOL}, "and so with the same digests"
    assert tuple(replace(one, evidence=None) for one in found.components) == locked.components


def test_each_change_is_found_and_nothing_else(spoiled: str, good: Account, plan: Plan) -> None:
    engine = find_engine()
    layers = engine.client.images.get(f"dsvm/{BIG}:latest").attrs["RootFS"]["Layers"]
    found = {(one.verdict, one.path) for one in account(spoiled, plan, Store(), engine, layers=layers).differences}
    lost = {path for verdict, path in found if verdict == "missing"}
    assert any("libarrow_flight.so" in path for path in lost)
    assert any(path.startswith(f"{SITE}/sklearn/datasets/data/") for path in lost)
    expected = FOUND | {("missing", path) for path in lost if "flight" in path or "/sklearn/datasets/data/" in path}
    # whoever needs the library that is gone
    expected |= {(verdict, path) for verdict, path in found if verdict == "library" and "flight" in path}
    assert ("library", f"{SITE}/pyarrow/_flight.cpython-311-x86_64-linux-gnu.so") in expected
    assert found - expected == set()
    assert expected - found == set()
