"""Fetch every script that Jupyter's pages can load, as a browser that knows the token; argv are the port and the pages.

Which these are, the pages and the built files say: scripts of a page, those of its extensions, and the parts ("chunks")
that each of them loads when it needs them, by the function that makes an address of a part's number:
https://webpack.js.org/configuration/output/#outputchunkfilename. Prints {"asked": how many scripts, "entries": {script:
how many parts}, "wrong": {script: why}} as JSON.
"""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

port, *pages = sys.argv[1:]
LOGIN = {"Authorization": f"token {os.environ['DSVM_TOKEN']}"}
JAVASCRIPT = ("application/javascript", "text/javascript")
NAMER = re.compile(r"\.u ?= ?(?:\(?(?P<a>\w+)\)? ?=> ?|function ?\((?P<f>\w+)\) ?\{ ?return ?)")
# What the loader leaves out: parts that have only modules which others share, and no file
SHARED = re.compile(
    r"\.f\.j ?=.{0,600}?(?:else if ?\((?P<one>\d+) ?!==? ?\w|/(?P<these>\^[\d|()?:]+\$)/\.test)", re.DOTALL
)
local = threading.local()
empty: list[str] = []


def get(path: str) -> tuple[int, str, str]:
    """Status, media type and text; by one connection for each thread."""
    for fresh in (False, True):
        if fresh or not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        try:
            local.connection.request("GET", path, headers=LOGIN)
            answer = local.connection.getresponse()
            kind = (answer.headers.get("Content-Type") or "").partition(";")[0]
            return answer.status, kind, answer.read().decode("utf-8", "replace")
        except (http.client.HTTPException, ConnectionError):
            if fresh:
                raise
    raise AssertionError


def parts(script: str) -> set[str]:
    """File names of the parts that an entry script can load."""
    found: set[str] = set()
    for match in NAMER.finditer(script):
        number = match["a"] or match["f"]
        term = re.compile(
            rf"""\ ?(?:"(?P<text>[^"]*)"
            |\((?P<one>\d+)\ ?===\ ?{number}\ ?\?\ ?"(?P<name>[^"]*)"\ ?:\ ?{number}\)
            |\(*\{{(?P<map>[^{{}}]*)\}}\)?\[{number}\](?P<or>\ ?\|\|\ ?{number}\))?
            |(?P<number>{number})\b)(?P<more>\ ?\+)?""",
            re.VERBOSE,
        )
        terms, at = [], match.end()
        while one := term.match(script, at):
            terms.append(one)
            at = one.end()
            if not one["more"]:
                break
        maps = {one.start(): _map(one["map"]) for one in terms if one["map"] is not None}
        if not any((one["text"] or "").startswith((".js", ".")) for one in terms):
            continue  # another function of this name
        needed = [maps[one.start()] for one in terms if one.start() in maps and not one["or"]]
        shared = SHARED.search(script)
        for which in needed[0] if needed else set(re.findall(r"\.e\((\d+)\)", script)):
            if shared and re.fullmatch(shared["one"] or shared["these"], which):
                continue
            found.add("".join(_value(one, maps.get(one.start(), {}), which) for one in terms))
    return found


def _map(text: str) -> dict[str, str]:
    """An object of JavaScript; a minifier writes the number 6000 as 6e3."""
    pairs = re.findall(r'("[^"]+"|\w+) ?: ?"([^"]*)"', text)
    return {str(int(float(key))) if re.fullmatch(r"\d+e\d+", key) else key.strip('"'): value for key, value in pairs}


def _value(term: re.Match[str], known: dict[str, str], which: str) -> str:
    if term["text"] is not None:
        return term["text"]
    if term["one"]:
        return term["name"] if term["one"] == which else which
    return known.get(which, which)


def entries() -> Iterator[str]:
    """Scripts of all pages, and of the extensions that the pages are told of."""
    for page in pages:
        status, _, text = get(page)
        if status != 200:
            sys.exit(f"{page}: {status}")
        sources = re.findall(r'<script[^>]* src="([^"]+)"', text)
        if not sources:
            empty.append(page)
        for source in sources:
            yield urllib.parse.urljoin(f"http://127.0.0.1:{port}{page}", html.unescape(source))
        config = re.search(r'<script[^>]*id="jupyter-config-data"[^>]*>(.*?)</script>', text, re.DOTALL)
        told = json.loads(config[1]) if config else {}
        for extension in told.get("federated_extensions", []):
            yield f"http://127.0.0.1:{port}{told['fullLabextensionsUrl']}/{extension['name']}/{extension['load']}"


def look(url: str) -> tuple[str, str]:
    """What is wrong with a script, and its text."""
    site = f"http://127.0.0.1:{port}"
    if not url.startswith(f"{site}/"):
        return "is of another site", ""
    status, kind, text = get(url.removeprefix(site))
    if status != 200:
        return f"answers {status}", ""
    if kind not in JAVASCRIPT or not text.strip() or text.lstrip().startswith("<"):
        return f"is no script: {kind}, {len(text)} characters", ""
    return "", text


def main() -> None:
    firsts = sorted(set(entries()))
    with ThreadPoolExecutor(8) as pool:
        seen = dict(zip(firsts, pool.map(look, firsts), strict=True))
        loads = {url: {urllib.parse.urljoin(url, name) for name in parts(text)} for url, (_, text) in seen.items()}
        more = sorted(set().union(*loads.values()) - seen.keys())
        seen |= dict(zip(more, pool.map(look, more), strict=True))
    counts = {urllib.parse.urlsplit(url).path: len(found) for url, found in loads.items()}
    wrong = {urllib.parse.urlsplit(url).path: why for url, (why, _) in seen.items() if why}
    wrong |= dict.fromkeys(empty, "names no script")
    print(json.dumps({"asked": len(seen), "entries": counts, "wrong": wrong}))


if __name__ == "__main__":
    main()
