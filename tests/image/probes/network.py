"""Have a program of the image do what users do over a network, with TLS servers on loopback: argv are its name, how it
is called, and certificates as JSON.

It must get what it wants from the server whose authority it is told to trust as people do that, by DSVM_CA_BUNDLE; and
nothing from a server of an authority that nobody knows, from one with a certificate of another name, and from the first
one where nobody told it. What it got, the servers say. From a plain one that it is given by name it must get that too:
a server of names on loopback, whom the container is told to ask, knows where that is. Prints what is wrong, as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import shlex
import socket
import ssl
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

client, program, given = sys.argv[1:]
PEM = json.loads(given)
HERE = Path.cwd()
SERVED = HERE / "served"
CONTENT = "what the server has"
NAME, PLACE = "server.dsvm.test", "127.0.0.53"  # all of 127.0.0.0/8 is loopback
REFUSED = {"foreign": "that an unknown authority vouches for", "elsewhere": "with a certificate of another name"}


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *words: Any) -> None:
        super().__init__(*words, directory=str(SERVED))

    def do_GET(self) -> None:
        """The first folder of a path says who asks."""
        _, who, *rest = self.path.split("/")
        self.server.asked.add(who)  # type: ignore[attr-defined]
        self.path = "/" + "/".join(rest)
        super().do_GET()

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        pass


class Plain(http.server.ThreadingHTTPServer):
    def __init__(self, place: str = PLACE) -> None:
        super().__init__((place, 0), Handler)
        self.asked: set[str] = set()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def site(self, who: str) -> str:
        return f"http://{NAME}:{self.server_address[1]}/{who}"


class Server(Plain):
    def __init__(self, name: str) -> None:
        chain = HERE / f"{name}.pem"
        chain.write_text(PEM[name])
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain)
        super().__init__("127.0.0.1")

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(30)
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever does not trust us hangs up."""

    def site(self, who: str) -> str:
        return f"https://localhost:{self.server_address[1]}/{who}"


class Names:
    """Answers questions for addresses, as RFC 1035 has it: there is one name, and it has one address of IPv4.

    Other checks may have one beside it, which knows the same.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            question, asker = self.socket.recvfrom(512)
            self.socket.sendto(answer(question), asker)


def answer(message: bytes) -> bytes:
    labels, place = [], 12
    while length := message[place]:
        labels.append(message[place + 1 : place + 1 + length].decode(errors="replace").lower())
        place += 1 + length
    end = place + 5
    (kind,) = struct.unpack("!H", message[place + 1 : place + 3])
    known = ".".join(labels) == NAME
    found = b""
    if known and kind == 1:
        found = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(PLACE)
    flags = 0x8180 if known else 0x8183
    return message[:2] + struct.pack("!HHHHH", flags, 1, bool(found), 0, 0) + message[12:end] + found


# --- what is served ---------------------------------------------------------------------------------------------


def serve_file() -> None:
    (SERVED / "file").write_text(CONTENT)


def serve_project() -> None:
    git = [program, "-c", "user.name=me", "-c", "user.email=me@localhost", "-C"]
    for words in (
        ["init", "-q", "work"],
        ["-C", "work", "commit", "-q", "--allow-empty", "-m", CONTENT],
        ["clone", "-q", "--bare", "work", str(SERVED / "project.git")],
        ["-C", str(SERVED / "project.git"), "update-server-info"],
    ):
        subprocess.run([*git, str(HERE), *words], check=True, capture_output=True)


def serve_index() -> None:
    folder = SERVED / "simple" / "dsvm-added"
    folder.mkdir(parents=True)
    name = "dsvm_added-1.0-py3-none-any.whl"
    info = "dsvm_added-1.0.dist-info"
    texts = {
        "dsvm_added.py": f"CONTENT = {CONTENT!r}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: dsvm-added\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, text in texts.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text)}\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>')


def serve_npm() -> None:
    folder = SERVED / "npm"
    folder.mkdir()
    version = {"name": "dsvm-added", "version": "1.0.0", "description": CONTENT, "dist": {"tarball": "none"}}
    known = {"name": "dsvm-added", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    (folder / "dsvm-added").write_text(json.dumps(known))


def serve_bucket() -> None:
    folder = SERVED / "bucket"
    folder.mkdir()
    (folder / "file").write_text(CONTENT)


def serve_archive() -> None:
    folder = SERVED / "apt"
    folder.mkdir()
    package = "Package: dsvm-added\nVersion: 1.0\nArchitecture: all\nMaintainer: me\nDescription: none\n"
    (folder / "Packages").write_text(f"{package}Filename: ./dsvm-added.deb\nSize: 1\nSHA256: {'0' * 64}\n")


# --- programs ---------------------------------------------------------------------------------------------------

PYTHON = """
import sys, urllib.request
for site in sys.argv[1:]:
    try:
        print("got" if urllib.request.urlopen(site + "/file", timeout=30).read().decode() == "{content}" else "other")
    except Exception as error:
        print("none:", repr(error)[:300])
"""
REQUESTS = """
import sys, requests
for site in sys.argv[1:]:
    try:
        print("got" if requests.get(site + "/file", timeout=30).text == "{content}" else "other")
    except Exception as error:
        print("none:", repr(error)[:300])
"""
R = """
for (site in commandArgs(TRUE)) {{
    to <- tempfile()
    said <- tryCatch(
        {{ download.file(paste0(site, "/file"), to, quiet = TRUE); readLines(to, warn = FALSE) }},
        error = function(problem) paste("none:", conditionMessage(problem)),
        warning = function(problem) paste("none:", conditionMessage(problem))
    )
    cat(if (said[1] == "{content}") "got" else said[1], "\\n")
}}
"""
JULIA = """
for site in ARGS
    try
        println(read(download(site * "/file", tempname()), String) == "{content}" ? "got" : "other")
    catch problem
        println("none: ", first(replace(sprint(showerror, problem), "\\n" => " "), 300))
    end
end
"""
JAVA = """
import java.net.URI;
public class Ask {{
    public static void main(String[] sites) {{
        for (String site : sites) {{
            try (var stream = URI.create(site + "/file").toURL().openStream()) {{
                System.out.println(new String(stream.readAllBytes()).equals("{content}") ? "got" : "other");
            }} catch (Exception problem) {{
                System.out.println("none: " + problem);
            }}
        }}
    }}
}}
"""
NODE = """
const ask = (site) => new Promise((done) => {{
    require(site.split(":")[0]).get(site + "/file", (answer) => {{
        let text = "";
        answer.on("data", (part) => (text += part));
        answer.on("end", () => done(text === "{content}" ? "got" : "other"));
    }}).on("error", (problem) => done("none: " + problem.message));
}});
(async () => {{ for (const site of process.argv.slice(1)) console.log(await ask(site)); }})();
"""
# one try after the other, in a folder of its own each; its last line is said where it gets nothing
LOOP = """
for site; do
    folder=$(mktemp -d)
    cd "$folder" || exit 125
    if {{
        {what}
    }} >said 2>&1; then echo got; else echo "none: $(tr '\\n' ' ' <said | tail -c 300)"; fi
done
"""
CURL = '{program} -sS --fail "$site/file" -o file && test "$(cat file)" = "{content}"'
WGET = '{program} -nv -t 1 "$site/file" && test "$(cat file)" = "{content}"'
GIT = '{program} clone -q "$site/project.git" got && {program} -C got log --format=%s | grep -qx "{content}"'
PIP = (
    "{program} -m pip install -q --disable-pip-version-check --no-cache-dir --retries 0 --timeout 30 "
    '--index-url "$site/simple/" --trusted-host {name} --target got dsvm-added && grep -q "{content}" got/dsvm_added.py'
)
NPM = (
    '{program} view --registry "$site/npm/" --cache "$PWD/cache" --fetch-retries 0 --no-update-notifier '
    'dsvm-added description | grep -qx "{content}"'
)
AWS = (
    '{program} --no-sign-request --region us-east-1 --endpoint-url "$site" s3api get-object '
    '--bucket bucket --key file file && test "$(cat file)" = "{content}"'
)
# apt is not told of authorities by DSVM_CA_BUNDLE, and people tell it so; lists and caches of one's own need no root
APT = """
mkdir -p state/lists/partial cache/archives/partial
echo "deb [trusted=yes] $site/apt ./" > sources.list
{program} -q -o Dir::State="$PWD/state" -o Dir::State::status=/dev/null -o Dir::Cache="$PWD/cache" \
    -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User="$(id -un)" \
    -o Acquire::Retries=0 -o APT::Update::Error-Mode=any \
    ${{DSVM_CA_BUNDLE:+-o Acquire::https::CAInfo="$DSVM_CA_BUNDLE"}} \
    update && grep -rqs '^Package: dsvm-added' state/lists
"""


def shell(what: str) -> list[str]:
    return ["bash", "-c", LOOP.format(what=text_of(what)), client]


def text_of(template: str) -> str:
    return template.format(program=shlex.quote(program), content=CONTENT, name=NAME)


def java() -> list[str]:
    (HERE / "Ask.java").write_text(text_of(JAVA))
    subprocess.run(["javac", "-d", str(HERE), "Ask.java"], check=True, capture_output=True)
    return [program, "-cp", str(HERE), "Ask"]


CLIENTS: dict[str, tuple[Callable[[], None], Callable[[], list[str]]]] = {
    "curl": (serve_file, lambda: shell(CURL)),
    "wget": (serve_file, lambda: shell(WGET)),
    "git": (serve_project, lambda: shell(GIT)),
    "pip": (serve_index, lambda: shell(PIP)),
    "npm": (serve_npm, lambda: shell(NPM)),
    "aws": (serve_bucket, lambda: shell(AWS)),
    "apt": (serve_archive, lambda: shell(APT)),
    "python": (serve_file, lambda: [program, "-c", text_of(PYTHON)]),
    "requests": (serve_file, lambda: [program, "-c", text_of(REQUESTS)]),
    "r": (serve_file, lambda: [program, "-e", text_of(R)]),
    "julia": (serve_file, lambda: [program, "--startup-file=no", "-e", text_of(JULIA)]),
    "java": (serve_file, java),
    "node": (serve_file, lambda: [program, "-e", text_of(NODE)]),
}


def ask(argv: list[str], sites: list[str], **environment: str) -> list[str]:
    """What a program says of each site: `got`, or why not."""
    done = subprocess.run(
        ["dsvm-start", *argv, *sites],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    said = [line.strip() for line in done.stdout.splitlines() if line.startswith(("got", "none:", "other"))]
    return said if len(said) == len(sites) else [f"{done.stdout} {done.stderr}"[-600:]] * len(sites)


def main() -> None:
    SERVED.mkdir()
    serve, command = CLIENTS[client]
    serve()
    argv = command()
    authority = HERE / "authority.pem"
    authority.write_text(PEM["authority"])
    servers = {name: Server(name) for name in ("own", "foreign", "elsewhere")}
    told = [server.site("told") for server in servers.values()]
    names, named = Names(), Plain()
    with ThreadPoolExecutor() as pool:
        trusting = pool.submit(ask, argv, told, DSVM_CA_BUNDLE=str(authority))
        plain = pool.submit(ask, argv, [servers["own"].site("untold")])
        said = dict(zip(servers, trusting.result(), strict=True))
        (untold,) = plain.result()
        (by_name,) = pool.submit(ask, argv, [named.site("named")]).result()
    faults = []
    if said["own"] != "got" or "told" not in servers["own"].asked:
        faults.append(f"told of its authority by DSVM_CA_BUNDLE, it does not get what a server has: {said['own']}")
    for name, whose in REFUSED.items():
        if said[name] == "got" or servers[name].asked:
            faults.append(f"it asks a server {whose}")
    if untold == "got" or "untold" in servers["own"].asked:
        faults.append("it asks a server of an authority that nobody told it to trust")
    if by_name != "got" or "named" not in named.asked:
        faults.append(f"given a server by its name, it does not get what that has: {by_name}")
    names.socket.close()
    print(json.dumps(faults))


if __name__ == "__main__":
    main()
