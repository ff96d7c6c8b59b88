"""Real Debian archives, small and signed, made in a folder: apt itself reads them."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from debian.debfile import DebFile
from pysequoia import Cert, SignatureMode, Tsk, sign


def new_key(name: str = "Archive") -> Tsk:
    return Tsk.generate(user_id=f"{name} <archive@example.test>")


def certificate(key: Tsk) -> Cert:
    return key.extract_certificate()


def fingerprint(key: Tsk) -> str:
    return certificate(key).fingerprint.upper()


def short_lived_key(seconds: int) -> Tsk:
    return Tsk.generate(user_id="Archive <archive@example.test>", validity_seconds=seconds)


def deb(
    folder: Path, name: str, version: str = "1.0", *, files: Mapping[str, str] | None = None, **fields: str
) -> Path:
    """A real package with `files` and further control fields (`Depends="a, b"`), and a `postinst` if there is one."""
    tree = folder / f"{name}_{version}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    script = fields.pop("postinst", None)
    control = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "Nobody <nobody@example.test>",
        "Description": name,
        **fields,
    }
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    if script is not None:
        (tree / "DEBIAN/postinst").write_text(script)
        (tree / "DEBIAN/postinst").chmod(0o755)
    for path, text in (files or {f"/usr/share/doc/{name}/README": f"{name} {version}\n"}).items():
        (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tree / path.lstrip("/")).write_text(text)
        (tree / path.lstrip("/")).chmod(0o755 if text.startswith("#!") else 0o644)
    target = folder / f"{name}_{version.replace(':', '%3a')}_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, target], check=True, capture_output=True)
    return target


def publish(
    root: Path, debs: Iterable[Path], key: Tsk, *, suite: str = "stable", origin: str = "Debian", **release: str
) -> None:
    """Put packages into the archive at `root` and sign it; a suite that ends in a slash is a flat folder."""
    publish_components(root, {"main": debs}, key, suite=suite, origin=origin, **release)


def publish_components(
    root: Path,
    components: Mapping[str, Iterable[Path]],
    key: Tsk,
    *,
    suite: str = "stable",
    origin: str = "Debian",
    **release: str,
) -> None:
    """The same with packages by component, of which a flat folder has one."""
    flat, inner = suite.endswith("/"), suite.strip("/")
    pool = root / inner if flat else root / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    folder = root / inner if flat else root / "dists" / suite
    lists: dict[str, bytes] = {}
    for component, debs in components.items():
        packages = "".join(f"{stanza}\n" for stanza in _stanzas(root, pool, debs)).encode()
        place = "" if flat else f"{component}/binary-amd64/"
        lists |= {f"{place}Packages": packages, f"{place}Packages.gz": gzip.compress(packages, mtime=0)}
    for name, data in lists.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    fields = {
        "Origin": origin,
        "Label": origin,
        "Suite": inner,
        "Codename": inner,
        "Architectures": "amd64",
        "Components": "" if flat else " ".join(components),
        "Date": f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S UTC}",
        **release,
    }
    text = "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
    text += "SHA256:\n" + "".join(
        f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n" for name, data in lists.items()
    )
    sign_release(folder, text, key)


def _stanzas(root: Path, pool: Path, debs: Iterable[Path]) -> Iterator[str]:
    """Packages put into the pool, and how the archive lists them."""
    for path in debs:
        place = pool / path.name.replace("%3a", ":")
        place.write_bytes(path.read_bytes())
        control = DebFile(str(place)).debcontrol()
        control["Filename"] = str(place.relative_to(root))
        control["Size"] = str(place.stat().st_size)
        control["SHA256"] = hashlib.sha256(place.read_bytes()).hexdigest()
        yield str(control.dump())


def sign_release(folder: Path, text: str, key: Tsk) -> None:
    (folder / "InRelease").write_bytes(sign(key.signer(), text.encode(), mode=SignatureMode.CLEAR))


def sign_again(root: Path, key: Tsk, suite: str = "stable") -> None:
    """The archive as it is, signed by another key."""
    folder = root / suite.strip("/") if suite.endswith("/") else root / "dists" / suite
    signed = (folder / "InRelease").read_text()
    text = signed.partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE")[0]
    sign_release(folder, text, key)


def write_key(path: Path, keys: Sequence[Tsk], *, armored: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    certs = [certificate(key) for key in keys]
    path.write_bytes("".join(map(str, certs)).encode() if armored else b"".join(map(bytes, certs)))
    return path
