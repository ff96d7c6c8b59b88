"""Keys that sign releases: cosign's own files, encrypted, and plain ones in PEM; ECDSA P-256 and Ed25519.

The cipher is that of https://github.com/secure-systems-lab/go-securesystemslib/blob/v0.9.0/encrypted/encrypted.go
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import secrets
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from dsvm.host import read_bounded, write_new
from dsvm.model import InputError, Model

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

Kind = Literal["ecdsa", "ed25519"]
KINDS: tuple[Kind, ...] = ("ecdsa", "ed25519")

ENCRYPTED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
PLAIN = "PRIVATE KEY"
PUBLIC = "PUBLIC KEY"
MOST = 1 << 16  # bytes of a file with a key or a password
STRENGTHS = (1 << 15, 1 << 16, 1 << 17)  # scrypt's N that cosign takes; r is 8 and p is 1
STRENGTH = 1 << 16
PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 - the variable's name

_Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=MOST)]


class _Strength(Model):
    N: int
    r: Literal[8]
    p: Literal[1]


class _Derivation(Model):
    name: Literal["scrypt"] = "scrypt"
    params: _Strength
    salt: _Base64


class _Cipher(Model):
    name: Literal["nacl/secretbox"] = "nacl/secretbox"
    nonce: _Base64


class _Sealed(Model):
    """What stands in cosign's PEM block, as JSON."""

    kdf: _Derivation
    cipher: _Cipher
    ciphertext: _Base64 = Field(repr=False)


@dataclass(frozen=True)
class PublicKey:
    """What a signature is verified with."""

    key: SSlibKey = field(repr=False)
    der: bytes = field(repr=False)

    @classmethod
    def of(cls, key: EllipticCurvePublicKey | Ed25519PublicKey) -> PublicKey:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from securesystemslib.signer import SSlibKey

        return cls(SSlibKey.from_crypto(key), key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether this key's owner has signed `data` so."""
        from securesystemslib.exceptions import UnverifiedSignatureError
        from securesystemslib.signer import Signature

        try:
            self.key.verify_signature(Signature(self.key.keyid, signature.hex()), data)
        except UnverifiedSignatureError:
            return False
        return True

    @property
    def pem(self) -> str:
        return _pem(PUBLIC, self.der)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key, in hex, as cosign and others name one."""
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True)
class SigningKey:
    """What signs."""

    signer: CryptoSigner = field(repr=False)
    public: PublicKey

    @classmethod
    def of(cls, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> SigningKey:
        from securesystemslib.signer import CryptoSigner

        return cls(CryptoSigner(key), PublicKey.of(key.public_key()))

    def sign(self, data: bytes) -> bytes:
        return bytes.fromhex(self.signer.sign(data).signature)


def read_password(environ: Mapping[str, str], file: Path | None = None) -> bytes | None:
    """The first line of `file`, else COSIGN_PASSWORD; None where there is neither. Raises InputError."""
    if file is None:
        return os.fsencode(environ[PASSWORD]) if PASSWORD in environ else None
    return _read(file, "password").split(b"\n", 1)[0].removesuffix(b"\r")


def read_signing_key(path: Path, password: bytes | None) -> SigningKey:
    """The private key in a file of cosign's, or in plain PKCS #8. Raises InputError, with nothing of the key in it."""
    data = _read(path, "key")
    label, inside = _block(path, data)
    if label == PUBLIC:
        raise InputError(f"{path}: that is a public key, which signs nothing", hint="Name the private one: cosign.key")
    if label in ENCRYPTED:
        if password is None:
            hint = f"Set {PASSWORD}, or name a file with it: --password-file FILE"
            raise InputError(f"{path}: the key is encrypted, and nobody says the password", hint=hint)
        inside = _opened(path, inside, password)
    elif label != PLAIN:
        hint = "A key of `invoke keygen` or cosign, or PKCS #8 without a password: openssl pkcs8 -topk8 -nocrypt"
        raise InputError(f"{path}: no private key that can be read: {label}", hint=hint)
    return _signing(path, inside)


def read_public_key(path: Path) -> PublicKey:
    """The public key in a PEM file. Raises InputError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    label, inside = _block(path, _read(path, "key"))
    if label != PUBLIC:
        hint = "Name the public one, which anybody may have: cosign.pub"
        raise InputError(f"{path}: no public key: {label}", hint=hint)
    try:
        key = load_der_public_key(inside)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: no public key: what stands in it is none") from None
    if isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return PublicKey.of(key)
    raise _unknown(path)


def make_pair(prefix: Path, kind: Kind, password: bytes) -> tuple[Path, Path]:
    """Write PREFIX.key, encrypted and for its owner alone, and PREFIX.pub. Raises InputError where one is there."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private, public = (prefix.with_name(f"{prefix.name}.{end}") for end in ("key", "pub"))
    if there := [str(path) for path in (private, public) if os.path.lexists(path)]:
        hint = "Keys are never overwritten: move them away, or name another place with --output"
        raise InputError([f"{path}: is there already" for path in there], hint=hint)
    key: EllipticCurvePrivateKey | Ed25519PrivateKey = (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    inside = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    write_new(private, _pem(ENCRYPTED[0], _closed(inside, password)), mode=0o600)
    try:
        write_new(public, SigningKey.of(key).public.pem)
    except BaseException:
        private.unlink(missing_ok=True)
        raise
    return private, public


# --- files -------------------------------------------------------------------------------------------------


def _read(path: Path, what: str) -> bytes:
    try:
        return read_bounded(path, MOST)
    except OSError as error:
        raise InputError(f"{path}: cannot read the {what}: {error.strerror}") from error


def _block(path: Path, data: bytes) -> tuple[str, bytes]:
    """Label and content of the one PEM block of a file."""
    blocks = re.findall(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----", data)
    if len(blocks) != 1:
        raise InputError(f"{path}: {'no key' if not blocks else 'more than one key'} in PEM form in it")
    try:
        return blocks[0][0].decode(), base64.b64decode(b"".join(blocks[0][1].split()), validate=True)
    except binascii.Error:
        raise InputError(f"{path}: no key: its lines are damaged") from None


def _pem(label: str, data: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(data).decode(), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _signing(path: Path, inside: bytes) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        key = load_der_private_key(inside, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(f"{path}: no private key: what stands in it is none") from None
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return SigningKey.of(key)
    raise _unknown(path)


def _unknown(path: Path) -> InputError:
    return InputError(f"{path}: neither an ECDSA P-256 nor an Ed25519 key", hint="The command keygen makes one")


# --- the cipher --------------------------------------------------------------------------------------------


def _opened(path: Path, data: bytes, password: bytes) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        sealed = _Sealed.model_validate_json(data)
        salt, nonce, text = map(_decoded, (sealed.kdf.salt, sealed.cipher.nonce, sealed.ciphertext))
    except (ValidationError, ValueError):
        raise InputError(f"{path}: no encrypted key of cosign's: what stands in it is none") from None
    if sealed.kdf.params.N not in STRENGTHS or len(nonce) != SecretBox.NONCE_SIZE:
        raise InputError(f"{path}: encrypted in a way that cosign does not know")
    try:
        return SecretBox(_derived(password, salt, sealed.kdf.params.N)).decrypt(text, nonce)
    except CryptoError:
        hint = f"It comes from --password-file, else from {PASSWORD}"
        raise InputError(f"{path}: the password is not that of this key, or the file is damaged", hint=hint) from None


def _closed(data: bytes, password: bytes) -> bytes:
    """The JSON that cosign writes."""
    from nacl.secret import SecretBox

    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(SecretBox.NONCE_SIZE)
    text = SecretBox(_derived(password, salt, STRENGTH)).encrypt(data, nonce).ciphertext
    said = {
        "kdf": {"name": "scrypt", "params": {"N": STRENGTH, "r": 8, "p": 1}, "salt": _encoded(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _encoded(nonce)},
        "ciphertext": _encoded(text),
    }
    return json.dumps(said, separators=(",", ":")).encode()


def _derived(password: bytes, salt: bytes, strength: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=strength, r=8, p=1, dklen=32, maxmem=2 * 128 * 8 * strength)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
