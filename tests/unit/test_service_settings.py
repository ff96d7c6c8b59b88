"""Settings that open Jupyter or code-server: each of them, read as the programs read it."""

from __future__ import annotations

from typing import Any

import pytest
from sights import Paths, file, sight

from dsvm.ledger.properties.services import services

HOME = "/home/ds"
SYSTEM, ENV, OWN = "/etc/jupyter", "/opt/envs/base/etc/jupyter", f"{HOME}/.jupyter"
JUPYTER = {"/opt/envs/base/bin/jupyter-lab": file("jupyter", 0o755)}


def opened(paths: Paths, *, own: Paths | None = None, **more: Any) -> list[tuple[str, str]]:
    """Path and words of what opens Jupyter or code-server."""
    found = list(services(sight(own={**JUPYTER, **(own or {})}, paths=paths, **more)))
    assert {one.verdict for one in found} <= {"service"}
    return [(one.path, one.what) for one in found]


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        (f"{SYSTEM}/jupyter_server_config.json", '{"ServerApp": {"disable_check_xsrf": true}}', "any page"),
        (f"{SYSTEM}/jupyter_config.json", '{"ServerApp": {"allow_origin": "*"}}', "elsewhere"),
        (f"{ENV}/jupyter_lab_config.py", "c = get_config()\nc.ServerApp.ip = '0.0.0.0'\n", "listens"),
        (f"{OWN}/jupyter_notebook_config.py", "c.NotebookApp.token = ''\n", "NotebookApp.token is ''"),
        (f"{OWN}/jupyter_server_config.py", "c.IdentityProvider.token = x\n", "IdentityProvider.token is set"),
        (f"{OWN}/jupyter_server_config.py", "import os\n", "more than settings"),
        (f"{OWN}/jupyter_server_config.py", "c.ServerApp.update(\n", "cannot be read"),
        (f"{SYSTEM}/jupyter_server_config.json", "{", "cannot be read"),
        (f"{SYSTEM}/jupyter_server_config.json", '{"PasswordIdentityProvider": {"hashed_password": ""}}', "is ''"),
        (f"{SYSTEM}/jupyter_server_config.json", '{"ServerApp": {"allow_root": true}}', "as root"),
        ("/usr/local/etc/jupyter/jupyter_config.json", '{"ServerApp": {"terminals_enabled": true}}', "shells"),
        (f"{HOME}/.local/etc/jupyter/jupyter_config.json", '{"ServerApp": {"allow_remote_access": true}}', "any name"),
        (
            f"{ENV}/jupyter_server_config.d/evil.json",
            '{"ServerApp": {"jpserver_extensions": {"evil": true, "off": false}}}',
            "loads evil: code",
        ),
        ("/root/.jupyter/jupyter_config.json", '{"ServerApp": {"token": "q8Zr"}}', "token is set"),
        (f"{HOME}/.config/code-server/config.yaml", "auth: none\n", "no password"),
        (f"{HOME}/.config/code-server/config.yaml", "hashed-password: $argon2i\n", "hashed-password is set"),
        (f"{HOME}/.config/code-server/config.yaml", "bind-addr: 0.0.0.0:9999\n", "listens"),
        (f"{HOME}/.config/code-server/config.yaml", "trusted-origins: ['*']\n", "elsewhere"),
        (f"{HOME}/.config/code-server/config.yaml", "a: [\n", "cannot be read"),
    ],
)
def test_settings_that_open_a_service_are_found_and_no_secret_is_told(path: str, text: str, words: str) -> None:
    ((place, said),) = opened({path: text})
    assert place == path and words in said and "q8Zr" not in said and "argon" not in said


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{SYSTEM}/jupyter_server_config.json", '{"ServerApp": {"disable_check_xsrf": false, "allow_origin": ""}}'),
        (f"{SYSTEM}/jupyter_server_config.json", '{"LabApp": {"news_url": ""}, "note": 1}'),
        (f"{SYSTEM}/jupyter_server_config.json", ""),
        (f"{SYSTEM}/jupyter_server_config.py", '"""Nothing."""\nc = get_config()\nc.LabApp.x = [1]\n'),
        (f"{SYSTEM}/other.json", '{"ServerApp": {"allow_origin": "*"}}'),
        (f"{HOME}/.config/code-server/config.yaml", "auth: password\ncert: false\n"),
        (f"{HOME}/.config/code-server/config.yaml", ""),
    ],
)
def test_settings_that_open_nothing_are_fine(path: str, text: str) -> None:
    assert opened({path: text}) == []


def test_settings_that_double_with_each_line_are_read_in_time() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)), "trusted-origins: *a59"]
    ((_, said),) = opened({f"{HOME}/.config/code-server/config.yaml": "\n".join(lines)})
    assert said.startswith("trusted-origins is set")


def test_the_setting_that_counts_is_the_one_that_jupyter_reads_last() -> None:
    open_, closed = '{"ServerApp": {"allow_origin": "*"}}', '{"ServerApp": {"allow_origin": ""}}'
    name = "jupyter_server_config"
    assert opened({f"{SYSTEM}/{name}.json": open_, f"{ENV}/{name}.json": closed}) == []
    ((path, _),) = opened({f"{SYSTEM}/{name}.json": closed, f"{ENV}/{name}.json": open_})
    assert path == f"{ENV}/{name}.json"
    paths: Paths = {f"{SYSTEM}/{name}.py": "c.ServerApp.allow_origin = '*'\n", f"{SYSTEM}/{name}.json": closed}
    assert opened(paths) == [], "of one folder .json is read after .py"
    assert opened({f"{SYSTEM}/jupyter_config.json": open_, f"{SYSTEM}/{name}.json": closed}) == []
    # root's own settings are none of the user's
    assert opened({f"{SYSTEM}/{name}.json": open_, f"/root/.jupyter/{name}.json": closed})


def test_settings_where_the_environment_says_are_read() -> None:
    text = '{"ServerApp": {"allow_origin": "*"}}'
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH"):
        paths: Paths = {"/srv/settings/jupyter_config.json": file(text)}
        here = {variable: "/srv/settings"}
        said = opened(paths, environment=here, fetch=lambda paths: [(one, text.encode()) for one in paths])
        assert [path for path, _ in said] == ["/srv/settings/jupyter_config.json"]
    paths = {"/srv/code.yaml": "auth: none\n"}
    assert opened(paths, environment={"CODE_SERVER_CONFIG": "/srv/code.yaml"})


def test_what_the_plan_starts_a_service_with_is_no_finding() -> None:
    paths: Paths = {f"{SYSTEM}/jupyter_server_config.json": '{"ServerApp": {"ip": "0.0.0.0", "port": 8888}}'}
    assert len(opened(paths)) == 2
    assert opened(paths, words=("jupyter", "--ip=0.0.0.0", "--ServerApp.port=8888")) == []
    assert len(opened(paths, words=("--ip=127.0.0.1",))) == 2


def test_what_packages_load_is_fine_and_what_they_open_is_not() -> None:
    extension = '{"ServerApp": {"jpserver_extensions": {"jupyterlab": true}}}'
    assert opened({}, own={f"{ENV}/jupyter_server_config.d/jupyterlab.json": extension}) == []
    assert opened({}, own={f"{ENV}/jupyter_server_config.json": '{"ServerApp": {"allow_origin": "*"}}'})


@pytest.mark.parametrize("name", ["DSVM_TOKEN", "HASHED_PASSWORD", "JUPYTER_TOKEN"])
def test_an_image_sets_no_token(name: str) -> None:
    ((path, said),) = opened({}, environment={name: "q8Zr"}, token_variables=frozenset({"JUPYTER_TOKEN"}))
    assert path == "/" and name in said and "q8Zr" not in said
    assert opened({}, environment={name: ""}, token_variables=frozenset({"JUPYTER_TOKEN"})) == []
