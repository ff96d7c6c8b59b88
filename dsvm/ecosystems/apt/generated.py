"""What installing Debian packages makes beside their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from dsvm.ecosystems.protocol import Generated
from dsvm.model import Section

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
# a package, as fnmatch has it -> what its script makes, and nothing without it
OF_PACKAGES: Mapping[str, tuple[Generated, ...]] = {
    "dkms": (
        Generated("/usr/lib/modules/*/updates/dkms/*.ko*", "DKMS: compiled from what a package has in /usr/src"),
        Generated("/var/lib/dkms/*", "DKMS: what it has compiled, and how that went"),
    ),
    "desktop-file-utils": (Generated("/usr/share/applications/mimeinfo.cache", "update-desktop-database"),),
    "shared-mime-info": (Generated("/usr/share/mime/*", "update-mime-database"),),
    "hicolor-icon-theme": (Generated("/usr/share/icons/*/icon-theme.cache", "gtk-update-icon-cache"),),
    "libgdk-pixbuf*-2.0-0": (Generated("/usr/lib/*/gdk-pixbuf-2.0/2.10.0/loaders.cache", "gdk-pixbuf-query-loaders"),),
    "libglib2.0-0*": (
        Generated("/usr/share/glib-2.0/schemas/gschemas.compiled", "glib-compile-schemas"),
        Generated("/usr/lib/*/gio/modules/giomodule.cache", "gio-querymodules"),
    ),
    "libgtk*": (Generated("/usr/lib/*/gtk-?.0/?.*.0/immodules.cache", "gtk-query-immodules"),),
    "libgvc6": (Generated("/usr/lib/*/graphviz/config6*", "dot -c: which plug-ins there are"),),
    "python3": (Generated("/etc/python3/debian_config", "python3: whether to compile"),),
    "tex-common": (
        Generated("/var/lib/texmf/*", "update-texmf, updmap, fmtutil, mktexlsr"),
        Generated("/etc/texmf/web2c/texmf.cnf", "update-texmf"),
    ),
    "xfonts-utils": (
        *(Generated(f"/usr/share/fonts/X11/*/{one}", "update-fonts-dir") for one in ("fonts.*", "encodings.dir")),
        Generated("/var/lib/xfonts/*", "update-fonts-alias"),
    ),
}


def generated(section: Section) -> Iterator[Generated]:
    """What a section's packages may have made."""
    yield from GENERATED
    for pattern, made in OF_PACKAGES.items():
        if any(fnmatchcase(pin.name, pattern) for pin in section.pins):
            yield from made
