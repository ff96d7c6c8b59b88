"""What a container's start finds around it, whoever runs it: user, home, processors, certificates, proxies, a path.

Everything here changes the environment of what is started, and of nothing else.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

USER = "ds"
USUAL_HOME = Path("/home/ds")
SKELETON = Path("/etc/skel")
ACCOUNTS, GROUPS = Path("/etc/passwd"), Path("/etc/group")
MOUNTS = Path("/proc/self/mountinfo")
CGROUPS = Path(os.environ.get("DSVM_CGROUPS", "/sys/fs/cgroup"))
NAMES = "libnss_wrapper.so"
# Libraries count the machine's processors and know of no quota:
# https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS", "JULIA_NUM_THREADS"),
    *("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "LOKY_MAX_CPU_COUNT"),
)
# What systems call the file with the authorities that they trust
BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
# What programs and languages call it: OpenSSL and with it Python, uv, conda, Ruby; requests; curl and R; pip; git;
# Julia; the AWS CLI; gRPC
BUNDLE_VARIABLES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO"),
    *("JULIA_SSL_CA_ROOTS_PATH", "AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
)
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
MOST_CERTIFICATES = 50  # beside those that the system has; each costs Java's keytool half a second
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
LOOPBACK = "localhost,127.0.0.1,::1"
JAVA = "JAVA_TOOL_OPTIONS"
MOST_PROJECTS = 500  # folders of a mount that are looked at
# Where the system's own mounts are
SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/run", "/usr", "/opt", "/tmp", "/var")
BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


class Refusal(Exception):
    """Nothing can be started; says why and what to do."""


def say(text: str) -> None:
    print(f"dsvm-start: {text}", file=sys.stderr, flush=True)


# --- user --------------------------------------------------------------------------------------------------


def become_user(*, always: bool, prepare: bool = True) -> None:
    """Who is root goes on as the image's user, with the numbers of DSVM_UID and DSVM_GID.

    Without `always` only when one of them is set: a command that somebody runs as root stays root's. Without `prepare`
    accounts and home stay as they are: they are the business of the start that goes on beside us.
    """
    wanted = [_number(name) for name in ("DSVM_UID", "DSVM_GID")]
    if os.getuid() != 0:
        if wanted != [None, None] and (wanted[0], wanted[1] or os.getgid()) != (os.getuid(), os.getgid()):
            raise Refusal("DSVM_UID and DSVM_GID are for a start as root: add --user root, or name the user there")
        return
    if not always and wanted == [None, None]:
        return
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        return  # an image without our user
    uid = account.pw_uid if wanted[0] is None else wanted[0]
    gid = account.pw_gid if wanted[1] is None else wanted[1]
    if prepare:
        try:
            if renumbered := (uid, gid) != (account.pw_uid, account.pw_gid):
                for path in (ACCOUNTS, GROUPS):
                    path.open("r+").close()
            _own_home(account.pw_uid, uid, gid)
            # Last: the accounts say whose files a start that was killed on its way has not come to yet.
            if renumbered:
                _renumber(GROUPS, r"[^:\n]*:", f"{gid}", numbers=1)
                _renumber(ACCOUNTS, r"[^:\n]*:", f"{uid}:{gid}", numbers=2)
        except OSError as error:
            raise Refusal(
                f"DSVM_UID: {error.filename or ACCOUNTS} cannot be written: {error.strerror}; "
                f"leave --read-only out, or start with --user {uid}:0"
            ) from error
    try:
        os.setgroups(sorted({gid, *_groups_of(USER), *_added_groups()}))
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise Refusal(f"cannot go on as uid {uid}: {error.strerror}; start with --user {uid}:0") from error
    os.environ |= {"HOME": str(USUAL_HOME), "USER": USER, "LOGNAME": USER}


def _number(name: str) -> int | None:
    text = os.environ.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 0 < int(text) < 2**32 - 1:
        raise Refusal(f"{name}: {text!r} is no number of a user or group: 1 to {2**32 - 2}")
    return int(text)


def _renumber(path: Path, password: str, new: str, *, numbers: int) -> None:
    """Give our line of passwd(5) or group(5) other numbers."""
    old = path.read_text(encoding="utf-8")
    text = re.sub(rf"(?m)^({USER}:{password})\d+{':[0-9]+' * (numbers - 1)}", rf"\g<1>{new}", old)
    if text != old:
        path.write_text(text, encoding="utf-8")


def _groups_of(user: str) -> Iterator[int]:
    """The groups that list a user as a member."""
    return (one.gr_gid for one in grp.getgrall() if user in one.gr_mem)


def _added_groups() -> set[int]:
    """What --group-add and Kubernetes' fsGroup gave us beyond root's own groups: it opens a volume or a device."""
    return {*os.getgroups(), os.getgid()} - {0, *_groups_of("root")}


def _own_home(before: int, uid: int, gid: int) -> None:
    """Make the usual home the user's own: what was the old number's, and a new volume, which is root's."""
    mounts = _mounts()
    try:
        USUAL_HOME.mkdir(exist_ok=True)
        home = os.lstat(USUAL_HOME)
        if home.st_uid == 0 and _is_new(USUAL_HOME, mounts):
            os.chown(USUAL_HOME, uid, gid)
            _furnish(USUAL_HOME, uid, gid)
        elif home.st_uid in (before, uid) and before != uid:
            _pass_on(USUAL_HOME, before, uid, gid, mounts)
        if os.lstat(USUAL_HOME).st_uid == uid:
            _own_ways(USUAL_HOME, uid, gid, mounts)
    except OSError as error:
        say(f"warning: {error.filename or USUAL_HOME} is not made yours: {error.strerror}")


def _is_new(folder: Path, mounts: set[Path]) -> bool:
    """Whether nobody saved anything: mkfs leaves lost+found, and whoever mounts below makes folders on the way."""
    with os.scandir(folder) as entries:
        return all(
            entry.name == "lost+found"
            or Path(entry) in mounts
            or (entry.is_dir(follow_symlinks=False) and _leads(Path(entry), mounts) and _is_new(Path(entry), mounts))
            for entry in entries
        )


def _leads(folder: Path, mounts: set[Path]) -> bool:
    return any(folder in place.parents for place in mounts)


def _pass_on(home: Path, before: int, uid: int, gid: int, mounts: set[Path]) -> None:
    """Give what one number owns to another; what is mounted below stays its owner's, on the same disk or not.

    By descriptors of folders: whoever has the volume too could put a link in the place of a folder meanwhile.
    """
    os.chown(home, uid, gid)
    for path, folders, files, folder in os.fwalk(home, follow_symlinks=False):
        folders[:] = [name for name in folders if Path(path, name) not in mounts]
        for name in (*folders, *files):
            if Path(path, name) not in mounts and os.lstat(name, dir_fd=folder).st_uid == before:
                os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)


def _own_ways(home: Path, uid: int, gid: int, mounts: set[Path]) -> None:
    """The folders that lead to mounts below: an engine makes them as root's, and one of them may be ~/.config."""
    for place in mounts:
        ways = [way for way in place.parents if home in way.parents and way not in mounts]
        for way in ways:
            if way.lstat().st_uid == 0 and not way.is_symlink():
                os.chown(way, uid, gid, follow_symlinks=False)


def _furnish(home: Path, uid: int, gid: int) -> None:
    """What a new home has."""
    with contextlib.suppress(OSError):
        for source in SKELETON.iterdir():
            if source.is_file() and not (home / source.name).exists():
                os.chown(shutil.copy(source, home / source.name), uid, gid)


# --- home --------------------------------------------------------------------------------------------------


def find_home() -> None:
    """Give whoever runs this a home that can be written to: a user whom the image does not know has `/` as theirs."""
    home = Path(os.environ.get("HOME") or "/")
    if home != Path("/") and os.access(home, os.W_OK | os.X_OK):
        return
    if os.access(USUAL_HOME, os.W_OK | os.X_OK):
        os.environ["HOME"] = str(USUAL_HOME)
        return
    for folder in (os.environ.get("TMPDIR"), "/tmp", "/dev/shm"):
        own = Path(folder or "/nowhere") / f"home-{os.getuid()}"
        with contextlib.suppress(OSError):
            own.mkdir(mode=0o700, exist_ok=True)
            if own.stat().st_uid == os.getuid() and not own.is_symlink():
                os.environ["HOME"] = str(own)
                _furnish(own, os.getuid(), os.getgid())
                _warn_of_loss(own)
                return


def _warn_of_loss(own: Path) -> None:
    """Somebody who mounts a home means to keep it."""
    mounts = _mounts() - {Path("/")}
    place = next((one for one in (USUAL_HOME, *USUAL_HOME.parents) if one in mounts), None)
    if place is None:
        return
    owner = place.stat()
    say(
        f"warning: uid {os.getuid()} cannot write to {USUAL_HOME}, of {owner.st_uid}:{owner.st_gid}; the home is\n"
        f"{own}, AND WHAT IS SAVED THERE IS LOST with this container. Make the volume that user's (chown\n"
        f"{os.getuid()}:{os.getgid()}, fsGroup in Kubernetes), or, while it is empty, start with\n"
        f"--user root -e DSVM_UID={os.getuid()}"
    )


def give_name() -> None:
    """A name for a user whom the image does not know: ssh, whoami and Java ask for one."""
    uid, gid = os.getuid(), os.getgid()
    try:
        pwd.getpwuid(uid)
        return
    except KeyError:
        pass
    os.environ |= {"USER": USER, "LOGNAME": USER}
    library = next(Path("/usr").glob(f"lib*/**/{NAMES}"), None)
    folder = private_folder()
    if library is None or folder is None:
        return
    home = os.environ.get("HOME", "/")
    try:
        accounts = re.sub(rf"(?m)^{USER}:.*\n", "", ACCOUNTS.read_text(encoding="utf-8"))
        (folder / "passwd").write_text(f"{accounts}{USER}:x:{uid}:{gid}:Data scientist:{home}:/bin/bash\n")
        (folder / "group").write_text(GROUPS.read_text(encoding="utf-8"))
    except OSError as error:
        say(f"warning: uid {uid} gets no name: {error.strerror}")
        return
    preloaded = [one for one in os.environ.get("LD_PRELOAD", "").split(":") if one]
    os.environ |= {
        "LD_PRELOAD": ":".join([*preloaded, str(library)]),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }


def private_folder() -> Path | None:
    """A folder for small files of ours that nobody else writes to; None where nothing can be written."""
    for parent in (os.environ.get("TMPDIR"), "/tmp", "/dev/shm"):
        folder = Path(parent or "/nowhere") / f"dsvm-{os.getuid()}"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if found.st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o700)
                return folder
    return None


# --- mounted projects --------------------------------------------------------------------------------------


def _mounts() -> set[Path]:
    """Mount points: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html"""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()
    escape = re.compile(r"\\([0-7]{3})")
    return {Path(escape.sub(lambda match: chr(int(match[1], 8)), line.split()[4])) for line in lines}


def trust_mounts() -> None:
    """Tell git that projects of another owner which somebody mounted are meant: it calls them dubious else.

    Only those that the mounted folder's own owner has, and only for what is started here.
    """
    projects = [str(project) for place in sorted(_mounts()) for project in _projects(place)]
    count = os.environ.get("GIT_CONFIG_COUNT", "0")
    if not projects or not count.isdigit():
        return
    for number, project in enumerate(dict.fromkeys(projects), int(count)):
        os.environ |= {f"GIT_CONFIG_KEY_{number}": "safe.directory", f"GIT_CONFIG_VALUE_{number}": project}
        os.environ["GIT_CONFIG_COUNT"] = str(number + 1)


def _projects(place: Path) -> Iterator[Path]:
    """Git's projects in a mounted folder of another owner: itself, its folders, and those in them."""
    if place == Path("/") or any(place.is_relative_to(one) for one in SYSTEM):
        return
    with contextlib.suppress(OSError):
        owner = place.stat().st_uid
        if owner != os.getuid() and place.is_dir():
            seen = islice(_near(place, owner), MOST_PROJECTS)
            yield from (one for one in seen if (one / ".git").exists())


def _near(place: Path, owner: int) -> Iterator[Path]:
    yield place
    inner = [*_folders(place, owner)]
    yield from inner
    for one in inner:
        yield from _folders(one, owner)


def _folders(folder: Path, owner: int) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= MOST_PROJECTS:
                return
            if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == owner:
                yield Path(entry.path)


# --- limits ------------------------------------------------------------------------------------------------


def keep_to_quota() -> None:
    """Tell libraries how many processors there are for us, where a quota leaves fewer than the machine has."""
    share = quota()
    if share is None or share >= len(os.sched_getaffinity(0)):
        return
    for name in THREADS:
        os.environ.setdefault(name, str(share))
    os.environ.setdefault("MAKEFLAGS", f"-j{share}")


def quota() -> int | None:
    """Processors that the container may use at a time, rounded up; None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        most, period = (CGROUPS / "cpu.max").read_text().split()
        return None if most == "max" else max(1, -(-int(most) // int(period)))
    with contextlib.suppress(OSError, ValueError):
        most_us, period_us = (int((CGROUPS / "cpu" / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
        return None if most_us < 0 else max(1, -(-most_us // period_us))
    return None


# --- the network -------------------------------------------------------------------------------------------


def follow_proxies() -> None:
    """Set each variable of a proxy in both spellings, for programs read one or the other, and tell Java and Node.js."""
    given = {name: os.environ.get(name) or os.environ.get(name.upper()) or "" for name in PROXIES}
    if any(given.values()) and not given["no_proxy"]:
        given["no_proxy"] = LOOPBACK  # what a notebook serves itself is not the proxy's
    for name, value in given.items():
        for spelling in (name, name.upper()) if value else ():
            os.environ[spelling] = os.environ.get(spelling) or value
    web = {scheme: given[f"{scheme}_proxy"] for scheme in ("http", "https") if given[f"{scheme}_proxy"]}
    options = {scheme: _java_proxy(scheme, proxy) for scheme, proxy in web.items()}
    if any(options.values()):
        direct = f"-Dhttp.nonProxyHosts={'|'.join(_java_direct(given['no_proxy']))}"
        _tell_java(*(one for words in options.values() for one in words), direct)
        # Node.js ends at once where one of them is no URL
        if all(options[scheme] and re.match("https?://", proxy) for scheme, proxy in web.items()):
            os.environ.setdefault("NODE_USE_ENV_PROXY", "1")


def _java_proxy(scheme: str, proxy: str) -> list[str]:
    """https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/net/doc-files/net-properties.html"""
    with contextlib.suppress(ValueError):
        place = urlsplit(proxy if "://" in proxy else f"//{proxy}")
        if place.hostname and re.fullmatch(r"[A-Za-z0-9._:-]+", place.hostname):
            return [f"-D{scheme}.proxyHost={place.hostname}", f"-D{scheme}.proxyPort={place.port or 80}"]
    return []


def _java_direct(hosts: str) -> Iterator[str]:
    """Hosts without a proxy as Java writes them; a name stands for what is below it too, as it does in no_proxy."""
    yield from ("localhost", "127.*", "[::1]")  # Java's own, which ours replace
    for host in (one.strip() for one in hosts.split(",")):
        if host and host not in LOOPBACK.split(","):
            yield from (f"*{host}",) if host[0] in ".*" else (host, f"*.{host}")


def _tell_java(*options: str) -> None:
    """Options come before those that somebody gave, for Java goes by the last one."""
    already = os.environ.get(JAVA, "")
    new = [one for one in options if one not in already.split()]
    os.environ[JAVA] = " ".join([*new, *([already] if already else [])])


def trust_authorities() -> None:
    """Have every program trust the authorities in the file DSVM_CA_BUNDLE beside those that the system trusts."""
    named = os.environ.get("DSVM_CA_BUNDLE", "")
    if not named:
        return
    try:
        found = _certificates(Path(named).read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise Refusal(f"DSVM_CA_BUNDLE: cannot read {named}: {error.strerror}") from error
    if not found:
        raise Refusal(f"DSVM_CA_BUNDLE: {named} holds no certificates in PEM form")
    system = next((one.read_text(encoding="utf-8") for one in BUNDLES if one.is_file()), "")
    # Who has a company's machine gives its whole bundle: most of that is in the image too.
    known = _certificates(system)
    new = [text for key, text in found.items() if key not in known]
    if len(new) > MOST_CERTIFICATES:
        raise Refusal(
            f"DSVM_CA_BUNDLE: {named} holds {len(new)} certificates that the system does not trust already; "
            f"{MOST_CERTIFICATES} at most are wanted, of authorities of your own"
        )
    folder = private_folder()
    if folder is None:
        raise Refusal("DSVM_CA_BUNDLE: nothing can be written for it; give a tmpfs: --tmpfs /tmp")
    bundle = folder / "ca.pem"
    _write(bundle, "\n".join([system.rstrip("\n"), *new]).lstrip("\n") + "\n")
    # Node.js and npm add to their own
    for name in (*BUNDLE_VARIABLES, "NODE_EXTRA_CA_CERTS"):
        os.environ.setdefault(name, str(bundle))
    if shutil.which("wget"):
        _tell_wget(folder / "wgetrc", bundle)
    if new and (keytool := shutil.which("keytool")):
        _tell_java(f"-Djavax.net.ssl.trustStore={_java_store(new, folder, Path(keytool))}")


def _tell_wget(file: Path, bundle: Path) -> None:
    """wget has no variable for an authority, but one for the system's file of settings; the user's comes after it.

    https://www.gnu.org/software/wget/manual/html_node/Wgetrc-Location.html
    """
    if "SYSTEM_WGETRC" not in os.environ:
        usual = Path("/etc/wgetrc")
        text = usual.read_text(encoding="utf-8", errors="replace") if usual.is_file() else ""
        _write(file, f"{text}\nca_certificate = {bundle}\n")
        os.environ["SYSTEM_WGETRC"] = str(file)


def _certificates(text: str) -> dict[str, str]:
    """Certificates by what is in them, without regard to line breaks."""
    return {"".join(one.split()): one for one in CERTIFICATE.findall(text)}


def _java_store(certificates: list[str], folder: Path, keytool: Path) -> Path:
    """A trust store of Java's with these certificates; made once for each set of them."""
    store, made_of = folder / "cacerts", folder / "cacerts.pem"
    text = "\n".join(certificates)
    if store.is_file() and made_of.is_file() and made_of.read_text() == text:
        return store
    with tempfile.TemporaryDirectory(dir=folder) as work:
        part = Path(work) / "cacerts"
        usual = keytool.resolve().parents[1] / "lib/security/cacerts"
        if usual.is_file():
            part.write_bytes(usual.read_bytes())
        environment = {name: value for name, value in os.environ.items() if name != JAVA}
        for number, certificate in enumerate(certificates):
            pem = Path(work) / "one.pem"
            pem.write_text(certificate)
            done = subprocess.run(
                [
                    *(keytool, "-importcert", "-noprompt", "-alias", f"dsvm-{number}", "-file", pem),
                    # the password of every such store; it guards nothing
                    *("-keystore", part, "-storepass", "changeit"),
                ],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                said = (done.stdout + done.stderr).strip().splitlines()[:1]
                raise Refusal(f"DSVM_CA_BUNDLE: Java does not take certificate {number + 1}: {' '.join(said)}")
        part.replace(store)
    _write(made_of, text)
    return store


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


# --- what users add ----------------------------------------------------------------------------------------


def use_added_packages() -> None:
    """Put the programs of the user's own layer over the environment `base` first; see dsvm-python."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["dsvm-python", "--bin", "base"], capture_output=True, text=True, timeout=20, check=False)
        own = done.stdout.strip()
        if done.returncode == 0 and own.startswith("/") and not own.startswith("/opt/envs/"):
            os.environ["PATH"] = f"{own}:{os.environ.get('PATH', os.defpath)}"
            # The image's kernels come first: a newer ipykernel in the layer has one that would pass the layer over.
            data = os.environ.get("JUPYTER_PATH")
            os.environ["JUPYTER_PATH"] = ":".join([*([data] if data else []), f"{Path(own).parent}/share/jupyter"])


# --- a path of a proxy -------------------------------------------------------------------------------------


def base_path() -> str:
    """The path under which a proxy serves us, `/` or `/a/b/`: DSVM_BASE_URL, or what Kubeflow says in NB_PREFIX."""
    name = next((name for name in ("DSVM_BASE_URL", "NB_PREFIX") if os.environ.get(name)), None)
    path = os.environ[name] if name else "/"
    if not BASE_PATH.fullmatch(path) or {".", ".."} & {*path.split("/")}:
        raise Refusal(f"{name}: {path!r} is no path such as /notebook/me: letters, digits and -._~ between slashes")
    return f"{path.rstrip('/')}/"
