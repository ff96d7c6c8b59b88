"""Certificates of authorities that nobody knows, made anew for each verification, and gone with it."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME, ANOTHER = "localhost", "elsewhere.invalid"
Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificates(folder: Path) -> str:
    """JSON: PEM of an `authority`, and certificates with keys in PEM: `own` of localhost by it, `elsewhere` of another
    name by it, `foreign` of localhost by an authority that nobody gets. The same for all who ask in one folder.
    """
    made = folder / "certificates.json"
    with (folder / "certificates.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            company, nobody = _authority("A company"), _authority("Nobody")
            made.write_text(
                json.dumps(
                    {
                        "authority": company[0].public_bytes(Encoding.PEM).decode(),
                        "own": _server(NAME, company),
                        "elsewhere": _server(ANOTHER, company),
                        "foreign": _server(NAME, nobody),
                    }
                ),
                encoding="utf-8",
            )
    return made.read_text(encoding="utf-8")


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority(name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(usage, critical=True).sign(key, SHA256()), key


def _server(name: str, authority: Authority) -> str:
    """Certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer, issuer_key = authority
    (common,) = issuer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    made = (
        _builder(name, str(common.value), key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(signer, critical=False)
        .sign(issuer_key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM).decode() + private.decode()
