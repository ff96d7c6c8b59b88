"""dnf's solver as a program of its own, run by dnf's own Python: a question as JSON on stdin, the answer on stdout.

The question: `root`, a folder whose rpm database holds what is installed; `cache`, a folder for metadata; `arch`;
`release`, the distribution's major version, and `platform`, that of its modules; `configuration`, the machine's
dnf.conf; `authorities`, a file of certificates or null; `repositories`, each with `id`, `urls`, `key` (file), `signed`
(whether its metadata are), `packages` (patterns of what may come from it, or null) and `needs` (whether what these
need may come too); `install`, names; `modules`, streams to enable, as NAME:STREAM; `solve`, false to ask only which
names there are; `newest`, names of which the newest version is asked.

The answer: `unknown`, names that no repository lets in; `newest`, name -> version; and `packages` with name, version,
file, size, digest and repository, `removed`, installed packages that would go, and `strange`, packages from a
repository that neither names nor needs them. Or `fault`, the solver's explanation; or `unread`, a repository with the
reason and whether it is its signature.

https://dnf.readthedocs.io/en/latest/api.html. It runs on Python 3.9 and newer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# What the machine's own dnf.conf may say of connections; everything else in it is about another system.
CONNECTION = (
    *("proxy", "proxy_username", "proxy_password", "proxy_auth_method", "sslcacert", "sslverify"),
    *("sslclientcert", "sslclientkey", "ip_resolve"),
)


def solve(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question."""
    import dnf
    import dnf.module.module_base

    base = dnf.Base()
    _configure(base.conf, question)
    for one in question["repositories"]:
        base.repos.add(_repository(one, base.conf))
    for repository in base.repos.iter_enabled():
        try:
            repository.load()
        except dnf.exceptions.RepoError as error:
            why = str(error)
            return {"unread": {"repository": repository.id, "why": why, "signature": "GPG" in why}}
    base.fill_sack(load_system_repo=True)
    if question["modules"]:
        try:
            dnf.module.module_base.ModuleBase(base).enable(question["modules"])
        except dnf.exceptions.Error as error:
            return {"fault": str(error)}
    _let_in(base, question)
    names = base.sack.query().filter(name=question["install"])
    unknown = sorted(set(question["install"]) - {package.name for package in names})
    newest = _newest(base, question["newest"])
    if unknown or not question["solve"]:
        return {"unknown": unknown, "newest": newest}
    import hawkey

    try:
        for name in question["install"]:
            base.install(name, forms=[hawkey.FORM_NAME])
        base.resolve(allow_erasing=False)
    except dnf.exceptions.Error as error:
        return {"fault": str(error), "newest": newest}
    chosen = sorted(base.transaction.install_set)
    gone = {package.name for package in base.transaction.remove_set} - {package.name for package in chosen}
    return {
        "unknown": [],
        "newest": newest,
        "packages": [_said(package) for package in chosen],
        "removed": sorted(gone),
        "strange": sorted(_strange(chosen, question)),
    }


def _configure(conf: Any, question: dict[str, Any]) -> None:
    import dnf

    machine = dnf.conf.MainConf()
    if Path(question["configuration"]).exists():
        machine.read(question["configuration"])
        for name in CONNECTION:
            setattr(conf, name, getattr(machine, name))
    if question["authorities"] and not conf.sslcacert:
        conf.sslcacert = question["authorities"]
    log = Path(question["cache"], "log")
    log.mkdir(parents=True, exist_ok=True)
    conf.config_file_path = "/dev/null"
    conf.installroot = question["root"]
    conf.cachedir = conf.system_cachedir = question["cache"]
    conf.persistdir = str(Path(question["root"], "var/lib/dnf"))
    conf.logdir = str(log)
    conf.reposdir, conf.varsdir, conf.pluginpath = [], [], []
    conf.plugins = False
    conf.releasever = question["release"]
    conf.substitutions["arch"] = conf.substitutions["basearch"] = question["arch"]
    conf.module_platform_id = question["platform"]
    conf.install_weak_deps = False
    conf.best = True
    # what one question has read is good enough for the next ones of this run
    conf.metadata_expire = -1
    conf.retries = 3


def _repository(one: dict[str, Any], conf: Any) -> Any:
    import dnf

    repository = dnf.repo.Repo(one["id"], conf)
    repository.baseurl = one["urls"]
    repository.gpgkey = ["file://" + one["key"]]
    repository.repo_gpgcheck = one["signed"]
    # Its keys lie in a folder of its own, for which gpg would start an agent that outlives this program.
    keys = Path(repository._repo.getCachedir(), "pubring")
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    (keys / "gpg.conf").write_text("no-autostart\n")
    return repository


def _let_in(base: Any, question: dict[str, Any]) -> None:
    """Hide what is for other machines, and of each repository what may not come from it.

    What a repository names comes from it alone. What it needs comes from it only where nobody else has that.
    """
    everything = base.sack.query().available()
    base.sack.add_excludes(everything.filter(arch__neq=[question["arch"], "noarch"]))
    whole = [one["id"] for one in question["repositories"] if one["packages"] is None]
    own = {package.name for package in everything.filter(reponame=whole)}
    for one in question["repositories"]:
        if one["packages"] is None:
            continue
        theirs = everything.filter(reponame=one["id"])
        named = theirs.filter(name__glob=one["packages"])
        base.sack.add_excludes(everything.filter(reponame=whole, name=[package.name for package in named]))
        others = theirs.difference(named)
        base.sack.add_excludes(others.filter(name=sorted(own)) if one["needs"] else others)


def _newest(base: Any, names: list[str]) -> dict[str, str]:
    """Name -> the newest version that may come from anywhere."""
    found: dict[str, Any] = {}
    for package in base.sack.query().available().filter(name=names).latest() if names else ():
        if package.name not in found or package > found[package.name]:
            found[package.name] = package
    return {name: package.evr for name, package in found.items()}


def _said(package: Any) -> dict[str, Any]:
    kind, value = package.returnIdSum()
    return {
        "name": package.name,
        "version": package.evr,
        "file": package.location,
        "size": package.downloadsize,
        "digest": [kind, value],
        "repository": package.reponame,
    }


def _strange(chosen: list[Any], question: dict[str, Any]) -> set[str]:
    """Names of packages that come from a repository which neither names them nor needs them for those it names."""
    from fnmatch import fnmatchcase

    patterns = {one["id"]: one["packages"] for one in question["repositories"] if one["packages"] is not None}
    named = [
        package
        for package in chosen
        if any(fnmatchcase(package.name, pattern) for pattern in patterns.get(package.reponame, ()))
    ]
    needed = set(named)
    while named:
        wanted = named.pop().requires
        for other in chosen:
            if other not in needed and any(_provides(other, one) for one in wanted):
                needed.add(other)
                named.append(other)
    return {package.name for package in chosen if package.reponame in patterns and package not in needed}


def _provides(package: Any, wanted: Any) -> bool:
    query = package.base.sack.query().filter(pkg=[package])
    return bool(query.filter(provides=wanted))


if __name__ == "__main__":
    answer, sys.stdout = sys.stdout, sys.stderr  # what dnf prints is no answer
    json.dump(solve(json.load(sys.stdin)), answer)
