"""The files of Debian packages: what their archives hold, and what installing them makes beside that."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from debian.arfile import ArError, ArFile

from dsvm.ecosystems.protocol import Generated
from dsvm.host import members
from dsvm.model import Entry, LockError

# What dpkg, maintainers' scripts and our own scripts of the system stage write.
GENERATED = (
    Generated("/bin", "merged /usr", "link"),
    Generated("/sbin", "merged /usr", "link"),
    Generated("/lib", "merged /usr", "link"),
    Generated("/lib64", "merged /usr", "link"),
    Generated("/var/run", "base-files", "link"),
    Generated("/var/lock", "base-files", "link"),
    Generated("/var/spool/mail", "base-files", "link"),
    Generated("/usr/local/man", "base-files", "link"),
    Generated("/dev/*", "the base's own devices", "device"),
    Generated("/var/lib/dpkg/*", "dpkg's own database"),
    Generated("/var/lib/apt/extended_states", "apt: what was installed by itself"),
    Generated("/var/lib/ucf/*", "ucf: which configuration files it has put where"),
    Generated("/var/lib/pam/*", "pam-auth-update"),
    Generated("/var/lib/python/*", "python3's own scripts"),
    Generated("/var/lib/shells.state", "update-shells"),
    Generated("/var/lib/systemd/deb-systemd-helper-enabled/*", "deb-systemd-helper: what it has enabled"),
    Generated("/var/cache/debconf/*", "debconf"),
    Generated("/var/cache/fontconfig/*", "fc-cache"),
    Generated("/var/cache/apt/*", "emptied by finish-system", "gone"),
    Generated("/var/lib/apt/lists/*", "emptied by finish-system", "gone"),
    Generated("/var/log/*", "emptied by finish-system", "gone"),
    Generated("/var/lib/rstudio-server/*", "a key of one machine's own, removed by install-apt", "gone"),
    Generated("/etc/init.d/rstudio-server", "removed by install-apt: nothing starts it by itself", "gone"),
    Generated("/etc/alternatives/*", "update-alternatives", "link"),
    Generated("/etc/dpkg/origins/default", "base-files", "link"),
    Generated("/etc/fonts/conf.d/*", "fontconfig-config", "link"),
    Generated("/etc/lighttpd/conf-enabled/*", "javascript-common", "link"),
    Generated("/etc/localtime", "tzdata", "link"),
    Generated("/etc/rc?.d/*", "update-rc.d", "link"),
    Generated("/etc/systemd/*.wants/*", "systemctl enable", "link"),
    Generated("/etc/*", "a template of a package", "copy"),
    Generated("/root/.*", "a template of a package", "copy"),
    Generated("/home/*/.*", "a template of a package", "copy"),
    Generated("/etc/ld.so.cache", "ldconfig"),
    Generated("/etc/passwd", "accounts that packages make; rule `account` reads it"),
    Generated("/etc/group", "groups that packages make; rule `account` reads it"),
    Generated("/etc/shadow", "accounts that packages make; rule `account` reads it"),
    Generated("/etc/gshadow", "groups that packages make"),
    Generated("/etc/sub[ug]id", "ranges of ids of accounts"),
    Generated("/etc/.pwd.lock", "the lock of account files"),
    Generated("/etc/ssl/certs/ca-certificates.crt", "update-ca-certificates; rule `ca-bundle` reads it"),
    Generated("/etc/ssl/certs/java/cacerts", "ca-certificates-java; rule `ca-bundle` reads it"),
    Generated("/etc/ssl/certs/*", "update-ca-certificates", "link"),
    Generated("/etc/ca-certificates.conf", "debconf of ca-certificates"),
    Generated("/etc/pam.d/common-*", "pam-auth-update"),
    Generated("/etc/security/opasswd", "libpam-modules: passwords that were, none"),
    Generated("/etc/environment", "base-passwd and locales"),
    Generated("/etc/default/locale", "locales"),
    Generated("/etc/locale.gen", "our script for locales"),
    Generated("/usr/lib/locale/locale-archive", "locale-gen"),
    Generated("/etc/fstab", "the bootstrap: there is nothing to mount"),
    Generated("/etc/shells", "update-shells"),
    Generated("/etc/gitconfig", "git-lfs, with git's own command"),
    Generated("/etc/papersize", "libpaper1"),
    Generated("/etc/timezone", "tzdata"),
    Generated("/etc/R/Renviron*", "r-base-core: Renviron with the places of programs"),
    Generated("/etc/.java/.systemPrefs/.system*", "openjdk"),
    Generated("/etc/sudoers", "sudo", "mode"),
    Generated("/usr/share/info/dir", "install-info"),
    Generated("/usr/share/binfmts/jar", "openjdk"),
)


def contents(artefact: Path) -> Iterator[tuple[str, Entry]]:
    """Paths of a .deb's data archive: https://manpages.debian.org/deb.5. Raises LockError."""
    try:
        with artefact.open("rb") as raw:
            archive = ArFile(fileobj=raw)
            name = next((one for one in archive.getnames() if one.startswith("data.tar")), "")
            yield from members(_opened(archive.getmember(name), name))
    except (ArError, KeyError, OSError, ValueError, EOFError, lzma.LZMAError) as error:
        raise LockError(f"{artefact.name}: no Debian package: {error}") from error


def _opened(member: Any, name: str) -> Any:
    """The member as the tar that is packed in it."""
    kind = name.rpartition(".")[2]
    if kind == "xz":
        return lzma.LZMAFile(member)
    if kind == "gz":
        return gzip.GzipFile(fileobj=member)
    if kind == "zst":
        from backports import zstd

        return zstd.ZstdFile(member)
    return member
