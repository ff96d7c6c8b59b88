"""Files below a root that is not this host's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsvm.host import leads_to, sha256_of

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map("/".join)
TARGETS = st.tuples(st.sampled_from(["", "/"]), PATHS).map("".join)


def test_links_begin_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc/alternatives").mkdir(parents=True)
    (tmp_path / "usr/lib/shim").mkdir(parents=True)
    (tmp_path / "usr/lib/shim/shim.latest").write_text("shim")
    (tmp_path / "usr/lib/shim/shim.efi").symlink_to("/etc/alternatives/shim.efi")
    (tmp_path / "etc/alternatives/shim.efi").symlink_to("/usr/lib/shim/shim.latest")
    (tmp_path / "lib").symlink_to("usr/lib")
    assert leads_to(tmp_path, "lib/shim/shim.efi") == tmp_path / "usr/lib/shim/shim.latest"
    assert leads_to(tmp_path, "/lib/../../../etc") == tmp_path / "etc"
    (tmp_path / "out").symlink_to("/../../etc/passwd")
    assert leads_to(tmp_path, "out") == tmp_path / "etc/passwd"


def test_links_that_lead_to_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("/a")
    with pytest.raises(OSError, match="symbolic links"):
        leads_to(tmp_path, "a")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(links=st.dictionaries(NAMES, TARGETS, max_size=3), path=PATHS)
def test_the_kernel_finds_the_same(links: dict[str, str], path: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is there is the same file for a process whose root this is."""
    root = tmp_path_factory.mktemp("root")
    for name in ("a", "b", "c"):
        if name in links:
            (root / name).symlink_to(links[name])
        else:
            (root / name / "a").mkdir(parents=True)
    code = "import os, sys; os.chroot(sys.argv[1]); os.chdir('/'); s = os.stat(sys.argv[2]); print(s.st_ino)"
    done = subprocess.run(["python3", "-c", code, root, f"/{path}"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        assert leads_to(root, path).stat().st_ino == int(done.stdout)


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    # the SHA-256 of nothing, FIPS 180-4
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
