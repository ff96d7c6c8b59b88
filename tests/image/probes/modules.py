"""Print as JSON what is wrong with kernel modules: those that are loaded, and those that argv names.

Each is there, is for the kernel that runs, and is as its package brought it.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

release = os.uname().release
names = sorted({line.split()[0] for line in Path("/proc/modules").read_text().splitlines()} | set(sys.argv[1:]))
packaged = {}
for listed in Path("/var/lib/dpkg/info").glob("linux-*.md5sums"):
    for line in listed.read_text().splitlines():
        digest, name = line.split(maxsplit=1)
        packaged["/" + name.removeprefix("usr/")] = digest
found = []
for name in names:
    said = subprocess.run(["/usr/sbin/modinfo", name], capture_output=True, text=True, check=False)
    fields = dict(line.split(":", 1) for line in said.stdout.splitlines() if ":" in line)
    path = Path(fields.get("filename", "").strip().replace("/usr/lib/", "/lib/") or "/nowhere")
    if path.name == "(builtin)":
        continue
    if said.returncode != 0 or not path.is_file():
        found.append(f"{name}: {said.stderr.strip() or 'no such module'}")
    elif not fields.get("vermagic", "").strip().startswith(release + " "):
        found.append(f"{path}: made for {fields.get('vermagic', 'no kernel').strip()}, and this one is {release}")
    elif str(path) in packaged and hashlib.md5(path.read_bytes()).hexdigest() != packaged[str(path)]:
        found.append(f"{path}: not as its package brought it")
print(json.dumps(found))
