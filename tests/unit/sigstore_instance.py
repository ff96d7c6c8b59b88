"""An instance of sigstore on loopback: an issuer of identities, a certificate authority with its log, and Rekor.

https://github.com/sigstore/fulcio/blob/v1.8.1/docs/certificate-specification.md, https://www.rfc-editor.org/rfc/rfc6962,
https://github.com/sigstore/rekor/blob/v1.4.2/openapi.yaml, https://github.com/transparency-dev/formats/tree/main/log
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from server import serve

ISSUER = "https://ci.example"
WORKFLOW = "https://ci.example/team/images/nightly.yml@refs/heads/main"
LIFETIME = datetime.timedelta(minutes=10)
SINCE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SHA256 = ec.ECDSA(hashes.SHA256())
ISSUER_OID, ISSUER_V2_OID = "1.3.6.1.4.1.57264.1.1", "1.3.6.1.4.1.57264.1.8"
SCT_OID = "1.3.6.1.4.1.11129.2.4.2"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def canonical(value: object) -> bytes:
    """As RFC 8785 writes what is here."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1"""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


def path_to(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1"""
    if len(leaves) == 1:
        return []
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    if index < middle:
        return [*path_to(index, leaves[:middle]), root_of(leaves[middle:])]
    return [*path_to(index - middle, leaves[middle:]), root_of(leaves[:middle])]


@dataclass
class Instance:
    """Its keys, and what it does differently from what it should."""

    issuer_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    authority_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    log_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    url: str = ""
    # who has signed what, as the log has it: what everybody sees
    leaves: list[bytes] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    # paths and bearers of all requests
    asked: list[tuple[str, str]] = field(default_factory=list)
    # answered first to what is asked, one each
    statuses: list[int] = field(default_factory=list)
    silent: float = 0.0  # seconds before each answer
    late: int = 0  # seconds by which the log's clock is ahead
    issuer: str = ISSUER  # whose word certificates carry
    without_sct: bool = False

    # --- who somebody is ----------------------------------------------------------------------------------

    def token(self, subject: str = WORKFLOW, issuer: str = ISSUER, **more: Any) -> str:
        now = int(time.time())
        said = {"iss": issuer, "sub": subject, "aud": "sigstore", "iat": now, "exp": now + 300, **more}
        return jwt.encode(said, self.issuer_key, algorithm="ES256")

    # --- certificates -------------------------------------------------------------------------------------

    def authority(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of tests")])
        usage = x509.KeyUsage(*(place in (5, 6) for place in range(9)))
        return (
            x509.CertificateBuilder(name, name, self.authority_key.public_key(), 1)
            .not_valid_before(SINCE)
            .not_valid_after(SINCE + datetime.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.authority_key.public_key()), critical=False)
            .sign(self.authority_key, hashes.SHA256())
        )

    def certificate(self, request: x509.CertificateSigningRequest, subject: str) -> x509.Certificate:
        """For some minutes, of whoever asks, with the promise of a log that it is public."""
        public = request.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        name = x509.UniformResourceIdentifier(subject) if "://" in subject else x509.RFC822Name(subject)
        text = self.issuer.encode()
        builder = (
            x509.CertificateBuilder(self.authority().subject, x509.Name([]), public, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(seconds=5))
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.KeyUsage(*(place == 0 for place in range(9))), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority_key.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.UnrecognizedExtension(ObjectIdentifier(ISSUER_OID), text), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(ObjectIdentifier(ISSUER_V2_OID), bytes([12, len(text)]) + text),
                critical=False,
            )
        )
        plain = builder.sign(self.authority_key, hashes.SHA256())
        if self.without_sct:
            return plain
        stamp = self.stamped(plain.tbs_certificate_bytes)
        return builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(SCT_OID), stamp), critical=False).sign(
            self.authority_key, hashes.SHA256()
        )

    def stamped(self, certificate: bytes) -> bytes:
        """The extension that promises a certificate's entry in a log: RFC 6962, 3.2 and 3.3."""
        milliseconds = int(time.time() * 1000)
        entry = hashlib.sha256(der(self.authority_key)).digest() + struct.pack("!I", len(certificate))[1:] + certificate
        signed = self.ct_key.sign(struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0", SHA256)
        one = (
            b"\0"
            + hashlib.sha256(der(self.ct_key)).digest()
            + struct.pack("!QH", milliseconds, 0)
            + struct.pack("!BBH", 4, 3, len(signed))
            + signed
        )
        listed = struct.pack("!HH", len(one) + 2, len(one)) + one
        return bytes([4, 0x81, len(listed)]) + listed if len(listed) > 127 else bytes([4, len(listed)]) + listed

    def signing_cert(self, said: dict[str, Any], bearer: str) -> tuple[int, dict[str, Any]]:
        try:
            claims = jwt.decode(bearer, self.issuer_key.public_key(), ["ES256"], audience="sigstore", issuer=ISSUER)
        except jwt.InvalidTokenError as error:
            return 401, {"code": 16, "message": f"There was an error processing the identity token: {error}"}
        request = x509.load_pem_x509_csr(base64.b64decode(said["certificateSigningRequest"]))
        assert request.is_signature_valid
        chain = [self.certificate(request, claims["sub"]), self.authority()]
        pem = [one.public_bytes(Encoding.PEM).decode() for one in chain]
        return 200, {"signedCertificateEmbeddedSct": {"chain": {"certificates": pem}}}

    # --- the log ------------------------------------------------------------------------------------------

    def entry(self, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return self.entry_of_file(said) if said["kind"] == "hashedrekord" else self.entry_of_statement(said)

    def entry_of_file(self, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        signature, digest = said["spec"]["signature"], said["spec"]["data"]["hash"]
        key = x509.load_pem_x509_certificate(base64.b64decode(signature["publicKey"]["content"])).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey) and digest["algorithm"] == "sha256"
        prehashed = ec.ECDSA(Prehashed(hashes.SHA256()))
        key.verify(base64.b64decode(signature["content"]), bytes.fromhex(digest["value"]), prehashed)
        content = {"content": signature["content"], "publicKey": {"content": signature["publicKey"]["content"]}}
        body = {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": digest["value"]}},
                "signature": content,
            },
        }
        return 201, self.logged(body)

    def entry_of_statement(self, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        proposed = said["spec"]["proposedContent"]
        envelope = json.loads(proposed["envelope"])
        (verifier,), (signature,) = proposed["verifiers"], envelope["signatures"]
        payload = base64.b64decode(envelope["payload"])
        key = x509.load_pem_x509_certificate(base64.b64decode(verifier)).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        kind = envelope["payloadType"].encode()
        text = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        key.verify(base64.b64decode(signature["sig"]), text, SHA256)
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {
                    "algorithm": "sha256",
                    "value": hashlib.sha256(proposed["envelope"].encode()).hexdigest(),
                },
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [{"signature": signature["sig"], "verifier": verifier}],
            },
        }
        return 201, self.logged(body)

    def logged(self, body: dict[str, Any]) -> dict[str, Any]:
        """The log with one more entry: its promise, and the proof that it is in there."""
        data, key_id = canonical(body), hashlib.sha256(der(self.log_key)).digest()
        self.bodies.append(body)
        self.leaves.append(hashlib.sha256(b"\0" + data).digest())
        index, root = len(self.leaves) - 1, root_of(self.leaves)
        head = f"rekor.tests - 1\n{len(self.leaves)}\n{b64(root)}\n"
        signed = b64(key_id[:4] + self.log_key.sign(head.encode(), SHA256))
        promised = {
            "body": b64(data),
            "integratedTime": int(time.time()) + self.late,
            "logID": key_id.hex(),
            "logIndex": index,
        }
        proof = {
            "checkpoint": f"{head}\n\u2014 rekor.tests {signed}\n",
            "hashes": [one.hex() for one in path_to(index, self.leaves)],
            "logIndex": index,
            "rootHash": root.hex(),
            "treeSize": len(self.leaves),
        }
        promise = b64(self.log_key.sign(canonical(promised), SHA256))
        uuid = self.leaves[index].hex()
        return {uuid: {**promised, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}

    # --- whom to trust ------------------------------------------------------------------------------------

    def trusted_root(self) -> dict[str, Any]:
        since = {"start": SINCE.isoformat().replace("+00:00", "Z")}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": b64(der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since},
                "logId": {"keyId": b64(hashlib.sha256(der(key)).digest())},
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log_key)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "tests", "commonName": "authority of tests"},
                    "uri": self.url,
                    "certChain": {"certificates": [{"rawBytes": b64(self.authority().public_bytes(Encoding.DER))}]},
                    "validFor": since,
                }
            ],
            "ctlogs": [log(self.ct_key)],
            "timestampAuthorities": [],
        }

    def trust_config(self) -> dict[str, Any]:
        service = {"url": self.url, "majorApiVersion": 1, "operator": "tests"}
        service |= {"validFor": {"start": SINCE.isoformat().replace("+00:00", "Z")}}
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service],
                "oidcUrls": [],
                "rekorTlogUrls": [service],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [],
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def write(self, path: Path) -> Path:
        """The file for --trust-config."""
        path.write_text(json.dumps(self.trust_config()))
        return path

    # --- on the wire --------------------------------------------------------------------------------------

    def answer(self, path: str, said: dict[str, Any], bearer: str) -> tuple[int, dict[str, Any]]:
        self.asked.append((path, bearer))
        time.sleep(self.silent)
        if self.statuses:
            return self.statuses.pop(0), {"code": 1, "message": "trouble of tests"}
        if path == "/api/v2/signingCert":
            return self.signing_cert(said, bearer)
        if path == "/api/v1/log/entries":
            return self.entry(said)
        return 404, {"code": 404, "message": "no such thing"}


@contextmanager
def sigstore_instance() -> Iterator[Instance]:
    instance = Instance()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, body = instance.answer(self.path, said, bearer)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = serve(Handler)
    instance.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield instance
    finally:
        http.shutdown()
        http.server_close()
