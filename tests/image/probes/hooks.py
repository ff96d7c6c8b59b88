"""Print as JSON what runs before other programs do, and that no package and no plan brought: argv are planned files.

sitecustomize, usercustomize and .pth files of every Python; what shells, R and Julia read when they start.
"""

import base64
import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

HOME = Path("/home/ds")
PLANNED = set(sys.argv[1:])
SITES = (
    *("/usr/lib/python3*", "/usr/lib64/python3*", "/usr/lib/python3/dist-packages", "/usr/lib*/python3*/site-packages"),
    *("/usr/local/lib/python3*/dist-packages", "/usr/local/lib*/python3*/site-packages"),
    *("/opt/envs/*/lib/python3*", "/opt/envs/*/lib/python3*/site-packages", "/opt/*/lib/python3*/site-packages"),
    str(HOME / ".local/lib/python3*/site-packages"),
)
START = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".bash_logout", ".Rprofile", ".Renviron")
MORE = (".julia/config/startup.jl", ".config/pip/pip.conf", ".ipython/profile_default/startup/*", ".pythonrc.py")


def said(*argv: str) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def conffiles() -> dict[str, str]:
    """Path -> MD5 of the configuration files that Debian's packages brought."""
    lines = said("dpkg-query", "--show", "--showformat=${Conffiles}\n").splitlines()
    words = [line.split() for line in lines if line.strip()]
    return {one[0]: one[1] for one in words if len(one) > 1}


def packaged(path: Path) -> bool:
    """Whether a package of the system has it, and, where that says what is in it, has it so."""
    real = str(Path(path).resolve())
    if real in CONFFILES:
        return hashlib.md5(Path(real).read_bytes()).hexdigest() == CONFFILES[real]
    return bool(said(*OWNER, str(path)))


def recorded(path: Path) -> bool:
    """Whether a Python package beside it brought it as it is."""
    for record in path.parent.glob("*.dist-info/RECORD"):
        with record.open(newline="") as file:
            for name, digest, *_ in csv.reader(file):
                if name == path.name:
                    found = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
                    return digest == f"sha256={found}"
    return False


CONFFILES = conffiles()
# Both programs may be there, and rpm makes a database where it has none.
OWNER = ("dpkg-query", "--search") if CONFFILES else ("rpm", "--query", "--file")
found: list[str] = []
for place in SITES:
    for pattern in ("sitecustomize*", "usercustomize*", "*.pth"):
        paths = [path for path in Path("/").glob(f"{place.lstrip('/')}/{pattern}") if path.suffix != ".pyc"]
        unknown = (path for path in paths if not recorded(path) and not packaged(path))
        found.extend(f"{path}: no package brought it so" for path in unknown)
for name in START:
    path, skeleton = HOME / name, Path("/etc/skel", name)
    if path.exists() and not (skeleton.is_file() and skeleton.read_bytes() == path.read_bytes() and packaged(skeleton)):
        found.append(f"{path}: not as the system's packages have it for new users")
found += [f"{path}: nobody planned it" for pattern in MORE for path in HOME.glob(pattern) if path.name != "README"]
for path in (Path("/etc/bash.bashrc"), *Path("/etc/profile.d").glob("*")):
    if path.exists() and str(path) not in PLANNED and not packaged(path):
        found.append(f"{path}: neither planned nor of a package")
print(json.dumps(sorted(set(found))))
