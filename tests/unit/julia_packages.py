"""Small Julia packages, a registry of them, and what a package server serves. Needs git, which says the tree hashes."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

REGISTRY = "5c2747f8-b7ea-4ff2-ba2e-563bfd36b1d4"
HALVES = "0d1f1e52-6f57-4b2c-8d86-90a8a2a1a001"
QUARTERS = "0d1f1e52-6f57-4b2c-8d86-90a8a2a1a002"
WORDS = "0d1f1e52-6f57-4b2c-8d86-90a8a2a1a003"
STATISTICS = "10745b16-79ce-11e8-11f9-7d13ad32a3b2"
PKG = "44cfe95a-1eb2-52ea-b672-e2afdf69b78f"
# IJulia's own: what stands in for it has the same name.
IJULIA = "7073ff75-c697-5162-941a-fcdaad2a7d2a"

Files = Mapping[str, str]
NOTHING: Files = {}


class Package(NamedTuple):
    """One version: files by path (one that starts with #! is a program), and what the registry says of it."""

    name: str
    uuid: str
    version: str
    files: Files
    deps: Mapping[str, str] = NOTHING
    compat: Mapping[str, str] = NOTHING


def project(name: str, uuid: str, version: str, deps: Mapping[str, str]) -> str:
    return f'name = "{name}"\nuuid = "{uuid}"\nversion = "{version}"\n\n[deps]\n' + "".join(
        f'{key} = "{value}"\n' for key, value in deps.items()
    )


def package(
    name: str, uuid: str, version: str, code: str, /, files: Files = NOTHING, **said: Mapping[str, str]
) -> Package:
    deps = said.get("deps", {})
    own = {"Project.toml": project(name, uuid, version, deps), f"src/{name}.jl": f"module {name}\n{code}\nend\n"}
    return Package(name, uuid, version, {**own, **files}, deps, said.get("compat", {}))


# A word list for Linux, and another one that must not be taken
ARTIFACT = {"words.txt": "half\nquarter\n", "bin/show": "#!/bin/sh\ncat words.txt\n"}
OTHER_TREE = "f" * 40


@cache
def artifacts_toml() -> str:
    return f"""
[[words]]
arch = "x86_64"
git-tree-sha1 = "{tree_hash(ARTIFACT)}"
libc = "glibc"
os = "linux"

    [[words.download]]
    sha256 = "{"0" * 64}"
    url = "https://elsewhere.example/words.tar.gz"

[[words]]
arch = "x86_64"
git-tree-sha1 = "{OTHER_TREE}"
libc = "musl"
os = "linux"

[later]
git-tree-sha1 = "{OTHER_TREE}"
lazy = true
"""


@cache
def packages() -> tuple[Package, ...]:
    quarters = (
        "import Halves, Statistics\nquarter(x) = Halves.half(Halves.half(x))\n"
        "middle(xs) = Statistics.mean(xs) / 4\ninclude(joinpath(@__DIR__, \"..\", \"deps\", \"deps.jl\"))"
    )  # fmt: skip
    build = (
        "import Halves\nwrite(joinpath(@__DIR__, \"deps.jl\"), \"const BUILT = $(Halves.half(5))\\n\")\n"
    )  # fmt: skip
    return (
        package("Halves", HALVES, "1.0.0", "half(x) = x // 2"),
        package("Halves", HALVES, "1.1.0", "half(x) = x / 2", compat={"julia": "1"}),
        package("Halves", HALVES, "2.0.0", "half(x) = x / 2", compat={"julia": "1.99-1"}),
        package(
            "Quarters", QUARTERS, "0.3.1", quarters, {"deps/build.jl": build, "README.md": "Quarters\n"},
            deps={"Halves": HALVES, "Statistics": STATISTICS}, compat={"Halves": "1.1-1", "julia": "1"},
        ),
        package(
            "Words", WORDS, "0.2.0+1",
            "using Pkg.Artifacts\nwords() = readlines(joinpath(artifact\"words\", \"words.txt\"))",
            {"Artifacts.toml": artifacts_toml()}, deps={"Pkg": PKG},
        ),
    )  # fmt: skip


# IJulia's place is taken by a bridge: Jupyter's protocol is spoken by Python's ipykernel, and Julia computes.
BRIDGE = """
using Sockets

function evaluate(code)
    before = stdout
    reader, writer = redirect_stdout()
    printed = @async read(reader, String)
    fault = nothing
    try
        include_string(Main, code)
    catch error
        fault = sprint(showerror, error)
    finally
        redirect_stdout(before)
        close(writer)
    end
    return fault, fetch(printed)
end

function run_kernel()
    port, server = listenany(ip"127.0.0.1", 20000)
    python, program = "/opt/envs/base/bin/python", joinpath(@__DIR__, "..", "kernel.py")
    run(pipeline(`$python $program $(ARGS[1]) $port`, stdout = stdout, stderr = stderr), wait = false)
    peer = accept(server)
    while !eof(peer)
        fault, printed = evaluate(String(read(peer, parse(Int, readline(peer)))))
        for text in (printed, something(fault, ""))
            write(peer, string(sizeof(text)), "\\n", text)
        end
    end
    exit()
end
"""
KERNEL = """\
import socket
import sys

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

peer = socket.create_connection(("127.0.0.1", int(sys.argv[2]))).makefile("rwb")


class Julia(Kernel):
    implementation, implementation_version, banner = "bridge", "1", ""
    language_info = {"name": "julia", "mimetype": "text/plain", "file_extension": ".jl"}

    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False, **_):
        data = code.encode()
        peer.write(b"%d\\n%s" % (len(data), data))
        peer.flush()
        printed, fault = (peer.read(int(peer.readline())).decode() for _ in range(2))
        if printed and not silent:
            self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": printed})
        reply = {"status": "ok", "execution_count": self.execution_count}
        if fault:
            error = {"ename": "Julia", "evalue": fault, "traceback": [fault]}
            self.send_response(self.iopub_socket, "error", error)
            return {**reply, **error, "status": "error"}
        return {**reply, "payload": [], "user_expressions": {}}


IPKernelApp.launch_instance(argv=["-f", sys.argv[1]], kernel_class=Julia)
"""


def ijulia() -> Package:
    deps = {"Sockets": "6462fe0b-24de-5631-8697-dd941f90decc"}
    return package("IJulia", IJULIA, "1.28.0", BRIDGE, {"kernel.py": KERNEL}, deps=deps, compat={"julia": "1"})


# --- git and tar -------------------------------------------------------------------------------------------


def tree_hash(files: Files) -> str:
    """git's own hash of a folder with `files`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        env = {"GIT_DIR": f"{folder}/.git", "GIT_WORK_TREE": folder, "HOME": folder, "PATH": os.environ["PATH"]}
        for words in (("init", "--quiet"), ("add", "--force", "."), ("write-tree",)):
            said = subprocess.run(["git", *words], env=env, check=True, capture_output=True, text=True).stdout
    return said.strip()


def tarball(files: Files) -> bytes:
    """A tarball as a package server makes it: no folder around the files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in sorted(files.items()):
            data = text.encode()
            member = tarfile.TarInfo(name)
            # somebody else's, setuid and writable by all: none of that may survive
            member.size, member.uid, member.mtime = len(data), 1234, 1
            member.mode = 0o4777 if text.startswith("#!") else 0o666
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


# --- the registry and its server ---------------------------------------------------------------------------


def registry_files(listed: tuple[Package, ...]) -> dict[str, str]:
    """The files of a registry that has these packages."""
    files: dict[str, str] = {}
    names = {one.uuid: one.name for one in listed}
    for uuid, name in names.items():
        path = f"{name[0]}/{name}"
        mine = [one for one in listed if one.uuid == uuid]
        files[f"{path}/Package.toml"] = f'name = "{name}"\nuuid = "{uuid}"\nrepo = "https://elsewhere.example"\n'
        files[f"{path}/Versions.toml"] = "".join(
            f'["{one.version}"]\ngit-tree-sha1 = "{tree_hash(one.files)}"\n\n' for one in mine
        )
        for file, said in (("Deps", "deps"), ("Compat", "compat")):
            tables = {one.version.partition("+")[0]: getattr(one, said) for one in mine if getattr(one, said)}
            files[f"{path}/{file}.toml"] = "".join(
                f'["{version}"]\n' + "".join(f'{key} = "{value}"\n' for key, value in table.items()) + "\n"
                for version, table in tables.items()
            )
    entries = "".join(f'{uuid} = {{ name = "{name}", path = "{name[0]}/{name}" }}\n' for uuid, name in names.items())
    files["Registry.toml"] = f'name = "Small"\nuuid = "{REGISTRY}"\n\n[packages]\n{entries}'
    return files


def served(listed: tuple[Package, ...]) -> tuple[dict[str, bytes], str]:
    """Path -> content of a package server with these packages, and the tree hash of its registry."""
    registry = registry_files(listed)
    tree = tree_hash(registry)
    found = {f"/package/{one.uuid}/{tree_hash(one.files)}": tarball(one.files) for one in listed}
    found[f"/artifact/{tree_hash(ARTIFACT)}"] = tarball(ARTIFACT)
    found[f"/registry/{REGISTRY}/{tree}"] = tarball(registry)
    found["/registries"] = f"/registry/{REGISTRY}/{tree}\n".encode()
    return found, tree
