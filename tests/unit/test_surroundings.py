"""scripts/image/surroundings.py: what a container's start finds around it, function by function."""

from __future__ import annotations

import grp
import importlib.util
import os
import pwd
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

IMAGE = Path(__file__).parents[2] / "scripts" / "image"


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, in an environment of a few variables that is this test's own."""
    spec = importlib.util.spec_from_file_location("surroundings", IMAGE / "surroundings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
    return module


# --- proxies and paths -------------------------------------------------------------------------------------


def test_a_proxy_in_either_spelling_is_one_in_both(surroundings: ModuleType) -> None:
    os.environ |= {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost,.corp, host.example"}
    surroundings.follow_proxies()
    assert {os.environ[name] for name in ("https_proxy", "HTTPS_PROXY")} == {"http://proxy:3128"}
    assert os.environ["NO_PROXY"] == "localhost,.corp, host.example"
    assert "http_proxy" not in os.environ
    java = os.environ["JAVA_TOOL_OPTIONS"].split()
    direct = "-Dhttp.nonProxyHosts=localhost|127.*|[::1]|*.corp|host.example|*.host.example"
    assert java == ["-Dhttps.proxyHost=proxy", "-Dhttps.proxyPort=3128", direct]
    assert os.environ["NODE_USE_ENV_PROXY"] == "1"


def test_what_a_notebook_serves_itself_is_not_the_proxy_s(surroundings: ModuleType) -> None:
    os.environ["http_proxy"] = "http://proxy:3128"
    surroundings.follow_proxies()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("proxy", "java"),
    [
        ("proxy:3128", ["-Dhttp.proxyHost=proxy", "-Dhttp.proxyPort=3128"]),
        ("http://me:secret@proxy", ["-Dhttp.proxyHost=proxy", "-Dhttp.proxyPort=80"]),
        ("http://[bad", []),
        ("http://proxy:port", []),
        ("http://a b:1", []),
    ],
)
def test_a_proxy_in_other_words(surroundings: ModuleType, proxy: str, java: list[str]) -> None:
    os.environ["http_proxy"] = proxy
    surroundings.follow_proxies()
    assert os.environ.get("JAVA_TOOL_OPTIONS", "").split()[:2] == java
    # Node.js would not even start with what is no URL
    assert ("NODE_USE_ENV_PROXY" in os.environ) == (proxy == "http://me:secret@proxy")


def test_options_that_somebody_gave_java_win(surroundings: ModuleType) -> None:
    os.environ |= {"https_proxy": "http://proxy:3128", "JAVA_TOOL_OPTIONS": "-Dhttps.proxyHost=mine"}
    surroundings.follow_proxies()
    once = os.environ["JAVA_TOOL_OPTIONS"]
    assert once.split()[0] == "-Dhttps.proxyHost=proxy" and once.split()[-1] == "-Dhttps.proxyHost=mine"
    surroundings.follow_proxies()  # as a program of a started container does that calls dsvm-start
    assert os.environ["JAVA_TOOL_OPTIONS"] == once


def test_without_a_proxy_java_is_told_nothing(surroundings: ModuleType) -> None:
    surroundings.follow_proxies()
    assert "JAVA_TOOL_OPTIONS" not in os.environ


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "/"),
        ({"NB_PREFIX": "/notebook/team/me"}, "/notebook/team/me/"),
        ({"NB_PREFIX": "/a", "DSVM_BASE_URL": "/b/c_1~/"}, "/b/c_1~/"),
        ({"DSVM_BASE_URL": "/"}, "/"),
    ],
)
def test_the_path_of_a_proxy(surroundings: ModuleType, environment: Mapping[str, str], path: str) -> None:
    os.environ |= environment
    assert surroundings.base_path() == path


@pytest.mark.parametrize(
    "path", ["a", "/a b", "/a?b", "/a/../b", "//", "/a//b", "/a\n", "/ä", "https://host/a", "/{home}"]
)
def test_what_is_no_path_is_refused(surroundings: ModuleType, path: str) -> None:
    os.environ["NB_PREFIX"] = path
    with pytest.raises(surroundings.Refusal, match=r"NB_PREFIX: .* is no path"):
        surroundings.base_path()


# --- certificates ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", folder / "key.pem", "-out", folder / "ca.pem", "-subj", "/CN=A company", "-days", "2"),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "ca.pem"


def test_a_company_s_authority_comes_beside_the_usual_ones(
    surroundings: ModuleType, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "usual.crt"
    usual.write_text("-----BEGIN CERTIFICATE-----\nMIIusual\n-----END CERTIFICATE-----\n")
    monkeypatch.setattr(surroundings, "BUNDLES", (tmp_path / "nowhere", usual))
    monkeypatch.setattr(surroundings.shutil, "which", lambda name: None)
    os.environ["DSVM_CA_BUNDLE"] = str(certificate)
    surroundings.trust_authorities()
    places = {os.environ[name] for name in (*surroundings.BUNDLE_VARIABLES, "NODE_EXTRA_CA_CERTS")}
    (place,) = places
    text = Path(place).read_text()
    assert "MIIusual" in text and certificate.read_text().strip() in text
    assert Path(place).parent.stat().st_mode & 0o777 == 0o700


def test_the_bundle_of_a_company_s_machine_holds_what_the_image_has_too(
    surroundings: ModuleType, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [f"-----BEGIN CERTIFICATE-----\nMII{number}\n-----END CERTIFICATE-----\n" for number in range(150)]
    usual, whole = tmp_path / "usual.crt", tmp_path / "whole.pem"
    usual.write_text("".join(known))
    whole.write_text("".join(one.replace("\n", "\r\n") for one in known) + certificate.read_text())
    monkeypatch.setattr(surroundings, "BUNDLES", (usual,))
    monkeypatch.setattr(surroundings.shutil, "which", lambda name: None)
    os.environ |= {"DSVM_CA_BUNDLE": str(whole), "PIP_CERT": "/theirs.pem"}
    surroundings.trust_authorities()
    assert Path(os.environ["SSL_CERT_FILE"]).read_text().count("BEGIN CERTIFICATE") == 151
    assert os.environ["PIP_CERT"] == "/theirs.pem", "what somebody set stays"


def test_wget_is_told_of_a_company_s_authority_and_keeps_its_settings(
    surroundings: ModuleType, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings.shutil, "which", lambda name: "/usr/bin/wget" if name == "wget" else None)
    os.environ["DSVM_CA_BUNDLE"] = str(certificate)
    surroundings.trust_authorities()
    settings = Path(os.environ["SYSTEM_WGETRC"])
    assert settings.read_text().splitlines()[-1] == f"ca_certificate = {os.environ['SSL_CERT_FILE']}"
    usual = Path("/etc/wgetrc")
    assert not usual.is_file() or settings.read_text().startswith(usual.read_text())
    # a start within a start
    settings.write_text("theirs")
    surroundings.trust_authorities()
    assert settings.read_text() == "theirs"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read"),
        ("", "holds no certificates"),
        ("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", "holds no certificates"),
        (
            "".join(f"-----BEGIN CERTIFICATE-----\n{n:04}\n-----END CERTIFICATE-----\n" for n in range(51)),
            "holds 51 certificates that the system does not trust",
        ),
    ],
)
def test_a_bundle_that_is_none(surroundings: ModuleType, tmp_path: Path, content: str | None, reason: str) -> None:
    path = tmp_path / "mine.pem"
    if content is not None:
        path.write_text(content)
    os.environ["DSVM_CA_BUNDLE"] = str(path)
    with pytest.raises(surroundings.Refusal, match=f"DSVM_CA_BUNDLE: .*{reason}"):
        surroundings.trust_authorities()


# --- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "-1", "x", "4294967295", "1 ", "٣"])
def test_numbers_of_users_that_are_none(surroundings: ModuleType, text: str) -> None:
    os.environ["DSVM_UID"] = text
    with pytest.raises(surroundings.Refusal, match=r"DSVM_UID: .* is no number of a user or group"):
        surroundings.become_user(always=False)


def test_only_root_can_become_another(surroundings: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    os.environ["DSVM_UID"] = "77"
    with pytest.raises(surroundings.Refusal, match="--user root"):
        surroundings.become_user(always=True)
    os.environ["DSVM_UID"] = "1234"
    surroundings.become_user(always=True)


def test_accounts_get_new_numbers_and_nothing_else(surroundings: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0::/root:/bin/sh\nds:x:1000:1000:ds:/home/ds:/bin/bash\nds2:x:1000:1000::/:/bin/sh\n")
    surroundings._renumber(path, r"[^:\n]*:", "42:43", numbers=2)
    assert path.read_text().splitlines() == [
        "root:x:0:0::/root:/bin/sh", "ds:x:42:43:ds:/home/ds:/bin/bash", "ds2:x:1000:1000::/:/bin/sh"
    ]  # fmt: skip
    path.write_text("ds:x:1000:\nother:x:1000:ds\n")
    surroundings._renumber(path, r"[^:\n]*:", "43", numbers=1)
    assert path.read_text() == "ds:x:43:\nother:x:1000:ds\n"


def test_groups_that_were_added_are_kept_and_root_s_own_are_not(
    surroundings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = [grp.struct_group(("disk", "x", 6, ["root"])), grp.struct_group(("video", "x", 44, ["ds"]))]
    monkeypatch.setattr(grp, "getgrall", lambda: named)
    monkeypatch.setattr(os, "getgroups", lambda: [0, 6, 777])
    monkeypatch.setattr(os, "getgid", lambda: 100)
    assert surroundings._added_groups() == {100, 777}


# --- mounts ------------------------------------------------------------------------------------------------


def git_settings() -> list[tuple[str, str]]:
    count = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
    return [(os.environ[f"GIT_CONFIG_KEY_{n}"], os.environ[f"GIT_CONFIG_VALUE_{n}"]) for n in range(count)]


def mount(surroundings: ModuleType, patch: pytest.MonkeyPatch, file: Path, *places: Path, kind: str = "ext4") -> None:
    """Have the kernel say that these places are mounted."""
    escaped = [str(place).replace(" ", "\\040") for place in places]
    file.write_text("".join(f"36 35 98:0 / {one} rw,noatime master:1 - {kind} /dev/root rw\n" for one in escaped))
    patch.setattr(surroundings, "MOUNTS", file)


# a host's /tmp is a tmpfs often, and the disk of a container that runs containers an overlay
@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "overlay"])
@pytest.mark.skipif(os.getuid() != 0, reason="only root makes files of other owners")
def test_projects_of_a_mounted_folder_s_owner_are_not_dubious(
    surroundings: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounted = tmp_path / "my work"
    for name in (".", "one", "one/inner", "stranger", "plain"):
        (mounted / name).mkdir(parents=True, exist_ok=True)
        if name != "plain":
            (mounted / name / ".git").mkdir()
        os.chown(mounted / name, 4321 if name != "stranger" else 4322, 0)
    mount(surroundings, monkeypatch, tmp_path / "mountinfo", Path("/"), mounted, kind=kind)
    monkeypatch.setattr(surroundings, "SYSTEM", ())
    os.environ |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c"}
    surroundings.trust_mounts()
    projects = [mounted, mounted / "one", mounted / "one/inner"]
    assert git_settings() == [("a.b", "c"), *(("safe.directory", str(one)) for one in projects)]


def test_without_a_mount_git_is_told_nothing(surroundings: ModuleType) -> None:
    surroundings.trust_mounts()
    assert git_settings() == []


# --- from root to another ----------------------------------------------------------------------------------


@pytest.fixture
def became(surroundings: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What root became in a system with a user `ds`, 1000:1000, whose accounts are files of this test."""
    (tmp_path / "passwd").write_text("ds:x:1000:1000:ds:/home/ds:/bin/bash\n")
    (tmp_path / "group").write_text("ds:x:1000:\n")
    account = pwd.struct_passwd(("ds", "x", 1000, 1000, "ds", "/home/ds", "/bin/bash"))
    found: dict[str, int] = {}
    monkeypatch.setattr(surroundings, "ACCOUNTS", tmp_path / "passwd")
    monkeypatch.setattr(surroundings, "GROUPS", tmp_path / "group")
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "setgroups", lambda groups: None)
    monkeypatch.setattr(os, "setgid", lambda gid: found.update(gid=gid))
    monkeypatch.setattr(os, "setuid", lambda uid: found.update(uid=uid))
    os.environ |= {"DSVM_UID": "4242", "DSVM_GID": "4343"}
    return found


def accounts(folder: Path) -> str:
    return (folder / "passwd").read_text() + (folder / "group").read_text()


def test_the_check_of_health_leaves_accounts_and_home_to_the_start(
    surroundings: ModuleType, became: Mapping[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_own_home", lambda *numbers: pytest.fail("it changed the home"))
    before = accounts(tmp_path)
    surroundings.become_user(always=True, prepare=False)
    assert (became, accounts(tmp_path)) == ({"uid": 4242, "gid": 4343}, before)


def test_a_start_that_was_killed_on_its_way_is_taken_up_again(
    surroundings: ModuleType, became: Mapping[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*numbers: int) -> None:
        raise KeyboardInterrupt

    before, owned = accounts(tmp_path), list[tuple[int, ...]]()
    monkeypatch.setattr(surroundings, "_own_home", killed)
    with pytest.raises(KeyboardInterrupt):
        surroundings.become_user(always=True)
    assert accounts(tmp_path) == before
    monkeypatch.setattr(surroundings, "_own_home", lambda *numbers: owned.append(numbers))
    surroundings.become_user(always=True)
    assert owned == [(1000, 4242, 4343)]
    assert became == {"uid": 4242, "gid": 4343}
    assert accounts(tmp_path) == "ds:x:4242:4343:ds:/home/ds:/bin/bash\nds:x:4343:\n"


def test_where_accounts_cannot_be_written_the_home_stays_as_it_is(
    surroundings: ModuleType, became: Mapping[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_own_home", lambda *numbers: pytest.fail("it changed the home"))
    monkeypatch.setattr(surroundings, "GROUPS", tmp_path)
    with pytest.raises(surroundings.Refusal, match=r"DSVM_UID: .* cannot be written"):
        surroundings.become_user(always=True)
    assert became == {}


# --- homes -------------------------------------------------------------------------------------------------


@pytest.fixture
def home(surroundings: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /home/ds, as a mounted folder of root's; a folder `work` below it and `deep/inside` are too."""
    if os.getuid() != 0:
        pytest.skip("only root makes files of other owners")
    home, skeleton = tmp_path / "home", tmp_path / "skel"
    for folder in (home, skeleton):
        folder.mkdir()
    (skeleton / ".profile").write_text("# given\n")
    monkeypatch.setattr(surroundings, "USUAL_HOME", home)
    monkeypatch.setattr(surroundings, "SKELETON", skeleton)
    mount(surroundings, monkeypatch, tmp_path / "mountinfo", Path("/"), home, home / "work", home / "deep/inside")
    return home


def test_a_new_volume_is_new_whatever_mkfs_and_the_engine_left_in_it(surroundings: ModuleType, home: Path) -> None:
    for name in ("lost+found", "work", "deep/inside"):
        (home / name).mkdir(parents=True)
    surroundings._own_home(1000, 4242, 4343)
    assert (home / ".profile").read_text() == "# given\n"
    owners = {
        name: (home / name).stat().st_uid for name in (".", ".profile", "lost+found", "work", "deep", "deep/inside")
    }
    assert owners == {".": 4242, ".profile": 4242, "lost+found": 0, "work": 0, "deep": 4242, "deep/inside": 0}


@pytest.mark.parametrize("name", ["notebook", "deep/notebook", "lost+found2/notebook"])
def test_what_root_saved_stays_root_s(surroundings: ModuleType, home: Path, name: str) -> None:
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).write_text("saved")
    surroundings._own_home(1000, 4242, 4343)
    assert home.stat().st_uid == (home / name).stat().st_uid == 0
    assert not (home / ".profile").exists()


def test_a_new_number_takes_what_the_old_one_had_but_nothing_that_is_mounted(
    surroundings: ModuleType, home: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("work", "deep/inside", "own/folder"):
        (home / name).mkdir(parents=True)
    for name in ("file", "work/file", "deep/inside/file", "own/folder/file", "theirs"):
        (home / name).write_text("")
    (home / "link").symlink_to(outside)
    for path in (outside, home, *home.rglob("*")):
        os.chown(path, 1000, 1000, follow_symlinks=False)
    os.chown(home / "theirs", 77, 77)
    surroundings._own_home(1000, 4242, 4343)
    changed = {str(one.relative_to(home)) for one in (home, *home.rglob("*")) if one.lstat().st_uid == 4242}
    assert changed == {".", "file", "own", "own/folder", "own/folder/file", "link", "deep"}
    assert outside.stat().st_uid == 1000


@pytest.mark.parametrize("home", ["/", "/nowhere"])
def test_a_user_without_a_home_gets_one(
    surroundings: ModuleType, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "homes/ds"
    monkeypatch.setattr(surroundings, "USUAL_HOME", usual)
    os.environ["HOME"] = home
    surroundings.find_home()
    found = Path(os.environ["HOME"])
    assert found == tmp_path / f"home-{os.getuid()}"
    assert found.stat().st_mode & 0o777 == 0o700
    os.environ["HOME"] = home
    usual.mkdir(parents=True)
    surroundings.find_home()
    assert os.environ["HOME"] == str(usual)


def test_a_user_keeps_a_home_of_their_own(surroundings: ModuleType, tmp_path: Path) -> None:
    surroundings.find_home()
    assert os.environ["HOME"] == str(tmp_path)


def test_a_home_that_is_lost_says_so_when_a_parent_is_mounted_too(
    surroundings: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(surroundings, "USUAL_HOME", tmp_path / "homes/ds")
    mount(surroundings, monkeypatch, tmp_path / "mountinfo", Path("/"))
    surroundings._warn_of_loss(tmp_path)
    assert capsys.readouterr().err == ""
    mount(surroundings, monkeypatch, tmp_path / "mountinfo", Path("/"), tmp_path)
    surroundings._warn_of_loss(tmp_path)
    assert "WHAT IS SAVED THERE IS LOST" in capsys.readouterr().err


# --- what users add ----------------------------------------------------------------------------------------


@pytest.fixture
def envs(tmp_path: Path) -> Path:
    """An environment `x`, as uv makes it, in a folder that stands for /opt/envs."""
    subprocess.run(["python3", "-m", "venv", "--without-pip", tmp_path / "envs/x"], check=True)
    (site,) = (tmp_path / "envs/x/lib").glob("python3.*/site-packages")
    (site / "given.py").write_text("WHERE = 'image'\n")
    (site / "pip").mkdir()
    (site / "pip/__main__.py").write_text("import sys; print('pip in', sys.prefix)\n")
    return tmp_path / "envs"


def test_the_image_s_kernels_come_before_those_in_the_layer(surroundings: ModuleType, tmp_path: Path) -> None:
    """A newer ipykernel that is added to the layer brings one whose Python is the server's."""
    fake = tmp_path / "dsvm-python"
    fake.write_text("#!/bin/sh\necho /home/me/layer/bin\n")
    fake.chmod(0o755)
    os.environ |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JUPYTER_PATH": "/usr/local/share/jupyter"}
    surroundings.use_added_packages()
    assert os.environ["JUPYTER_PATH"] == "/usr/local/share/jupyter:/home/me/layer/share/jupyter"
    assert os.environ["PATH"].startswith("/home/me/layer/bin:")


def own_python(envs: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env: dict[str, Any] = {"PATH": os.environ["PATH"], "DSVM_ENVS": str(envs), **environment}
    return subprocess.run([IMAGE / "dsvm-python", *words], env=env, capture_output=True, text=True, check=False)


def test_what_a_user_adds_comes_before_what_the_image_has(envs: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    show = "import given, sys; print(given.WHERE, sys.prefix)"
    first = own_python(envs, "x", "-c", show, HOME=str(home)).stdout.split()
    (layer,) = (home / ".local/share/dsvm").glob("x-python3.*")
    assert first == ["image", str(layer)]
    (site,) = (layer / "lib").glob("python3.*/site-packages")
    (site / "given.py").write_text("WHERE = 'mine'\n")
    assert own_python(envs, "x", "-c", show, HOME=str(home)).stdout.split()[0] == "mine"
    assert own_python(envs, "--bin", "x", HOME=str(home)).stdout == f"{layer}/bin\n"
    done = subprocess.run([layer / "bin/pip"], capture_output=True, text=True, check=True)
    assert done.stdout == f"pip in {layer}\n"


def test_kernels_that_start_at_once_share_one_layer(envs: Path, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "DSVM_ENVS": str(envs), "HOME": str(tmp_path)}
    several = [
        subprocess.Popen([IMAGE / "dsvm-python", "x", "-c", "import given"], env=env, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    assert [one.wait(30) for one in several] == [0] * 8
    assert len([*(tmp_path / ".local/share/dsvm").iterdir()]) == 1


def test_without_a_home_it_is_the_image_s_environment(envs: Path) -> None:
    done = own_python(envs, "x", "-c", "import sys; print(sys.prefix)", HOME="/proc/nothing")
    assert done.stdout == f"{envs}/x\n", done.stderr


def test_an_environment_that_is_none(envs: Path) -> None:
    done = own_python(envs, "y", "-c", "")
    assert (done.returncode, "there is no environment 'y'" in done.stderr) == (2, True)
