"""Settings that open the services of an image to others than those who have its token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import yaml

from dsvm.ledger.comparing import Difference
from dsvm.ledger.properties.jupyter_settings import HOMES, settings
from dsvm.ledger.properties.sight import Sight

PLAIN = (str, int, float, bool, type(None))
Test = Callable[[object], bool]


def _is_set(value: object) -> bool:
    return bool(value)


def _anything(value: object) -> bool:
    return True


def _off(value: object) -> bool:
    return not value


# Whatever class has it: Jupyter's servers have moved them from one to another more than once
# https://jupyter-server.readthedocs.io/en/latest/other/full-config.html
JUPYTER: Mapping[str, tuple[Test, str]] = {
    "disable_check_xsrf": (_is_set, "any page that a user opens can act in the user's name"),
    "allow_origin": (_is_set, "pages from elsewhere may ask it"),
    "allow_origin_pat": (_is_set, "pages from elsewhere may ask it"),
    "allow_credentials": (_is_set, "pages from elsewhere may ask it in the user's name"),
    "token": (_anything, "the token is not the one that the image is started with"),
    "password": (_anything, "a password of its own lets in, or none is asked for"),
    "hashed_password": (_anything, "a password of its own lets in, or none is asked for"),
    "password_required": (_off, "no password is asked for"),
    "allow_unauthenticated_access": (_is_set, "who has no token is not turned away"),
    "authenticate_prometheus": (_off, "who has no token reads its metrics"),
    "identity_provider_class": (_anything, "something else says who may come in"),
    "authorizer_class": (_anything, "something else says who may do what"),
    "login_handler_class": (_anything, "something else says who may come in"),
    "ip": (_anything, "it listens elsewhere"),
    "port": (_anything, "it listens elsewhere"),
    "sock": (_is_set, "it listens elsewhere"),
    "allow_root": (_is_set, "it runs as root"),
    "allow_remote_access": (_is_set, "it answers under any name, and so to pages that take one (DNS rebinding)"),
    "local_hostnames": (_is_set, "it answers under other names, and so to pages that take one (DNS rebinding)"),
    "trust_xheaders": (_is_set, "who asks says from where"),
    "terminals_enabled": (_is_set, "shells for everybody who is let in"),
    "terminado_settings": (_is_set, "terminals run something else"),
    "root_dir": (_anything, "it shows another folder"),
    "tornado_settings": (_is_set, "headers and limits of its answers are others"),
    "extra_static_paths": (_is_set, "it serves pages of somebody else"),
    "extra_template_paths": (_is_set, "it serves pages of somebody else"),
    "contents_manager_class": (_anything, "something else reads and writes its files"),
    "kernel_manager_class": (_anything, "something else starts its kernels"),
    "kernel_dirs": (_is_set, "kernels come from elsewhere"),
    "pre_save_hook": (_is_set, "code runs with each file that is saved"),
    "post_save_hook": (_is_set, "code runs with each file that is saved"),
    "exec_lines": (_is_set, "code runs when it starts"),
    "exec_files": (_is_set, "code runs when it starts"),
}
EXTENSIONS = ("jpserver_extensions", "nbserver_extensions", "server_extensions")
# https://github.com/coder/code-server/blob/main/src/node/cli.ts
CODE_SERVER: Mapping[str, tuple[Test, str]] = {
    "auth": (lambda value: value != "password", "no password is asked for"),
    "password": (_anything, "the password is not the one that the image is started with"),
    "hashed-password": (_anything, "the password is not the one that the image is started with"),
    "bind-addr": (_anything, "it listens elsewhere"),
    "host": (_anything, "it listens elsewhere"),
    "port": (_anything, "it listens elsewhere"),
    "socket": (_is_set, "it listens elsewhere"),
    "link": (_is_set, "it can be reached from the internet, through somebody else's server"),
    "proxy-domain": (_is_set, "it passes on to ports of the image under other names"),
    "trusted-origins": (_is_set, "pages from elsewhere may ask it"),
    "skip-auth-preflight": (_is_set, "requests without a password are let through"),
    "extensions-dir": (_anything, "extensions come from elsewhere"),
    "user-data-dir": (_anything, "settings come from elsewhere"),
    "github-auth": (_is_set, "a token of somebody's stands in it"),
}
# variables that decide who is let in, whatever is started
DECIDING = ("DSVM_TOKEN", "DSVM_TOKEN_FILE", "HASHED_PASSWORD", "JUPYTERHUB_API_TOKEN")


def services(sight: Sight) -> Iterator[Difference]:
    """Settings of Jupyter and code-server that let in others than the plan does, whoever has put them there."""
    yield from _jupyter(sight)
    yield from _code_server(sight)
    for name, value in sight.environment.items():
        if value and (name in sight.token_variables or name in DECIDING):
            yield Difference("service", "/", f"the image sets {name}, which decides who is let in")


def _jupyter(sight: Sight) -> Iterator[Difference]:
    for one in settings(sight):
        layer = sight.tree[one.path][1]
        if not one.owner:
            if not sight.is_vouched(one.path):
                yield Difference("service", one.path, str(one.value), "", layer)
        elif one.name in EXTENSIONS:
            names = [name for name, on in one.value.items() if on] if isinstance(one.value, Mapping) else [one.value]
            if not sight.is_vouched(one.path):
                what = f"{one.owner}.{one.name} loads {', '.join(map(str, names))[:100]}: code in its server"
                yield Difference("service", one.path, what, "", layer)
        elif one.name in JUPYTER and JUPYTER[one.name][0](one.value) and not _is_planned(sight, one.name, one.value):
            yield Difference("service", one.path, _said(f"{one.owner}.{one.name}", one.value, JUPYTER), "", layer)


def _code_server(sight: Sight) -> Iterator[Difference]:
    own = sight.environment.get("XDG_CONFIG_HOME")
    places = [f"{own or f'{home}/.config'}/code-server/config.yaml" for home in HOMES]
    for path in (sight.environment.get("CODE_SERVER_CONFIG", ""), *dict.fromkeys(places)):
        if path not in sight.tree:
            continue
        layer = sight.tree[path][1]
        try:
            said = yaml.safe_load(sight.text(path))
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            yield Difference("service", path, f"it cannot be read: {type(error).__name__}", "", layer)
            continue
        for name, value in said.items() if isinstance(said, Mapping) else ():
            if name in CODE_SERVER and CODE_SERVER[name][0](value) and not _is_planned(sight, str(name), value):
                yield Difference("service", path, _said(str(name), value, CODE_SERVER), "", layer)


def _is_planned(sight: Sight, name: str, value: object) -> bool:
    """Whether the plan starts its service with exactly that."""
    said = rf"--(?:\w+\.)?{re.escape(name)}={re.escape(_plain(value))}"
    return any(re.fullmatch(said, word) for word in sight.words)


def _said(name: str, value: object, known: Mapping[str, tuple[Test, str]]) -> str:
    """The setting with what it means, and no secret."""
    last = name.rpartition(".")[2]
    hidden = any(word in last for word in ("token", "password", "auth")) and value not in ("", "none", None)
    shown = "set" if hidden or not isinstance(value, PLAIN) else repr(value)[:60]
    return f"{name} is {shown}: {known[last][1]}"


def _plain(value: object) -> str:
    """What a command line would have; of lists within lists, which YAML can make endless, only that they are some."""
    return str(value) if isinstance(value, PLAIN) else type(value).__name__
