"""Signatures without a key, by sigstore: an identity, a certificate for minutes, and a log of all that is signed so.

https://docs.sigstore.dev/about/overview/; a signature with all that verifying it needs is a bundle:
https://github.com/sigstore/protobuf-specs/blob/v0.5.0/protos/sigstore_bundle.proto
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from dsvm.host import read_bounded, redact
from dsvm.model import DsvmError, InputError, PublishError
from dsvm.release.cosign import IN_TOTO
from dsvm.release.references import is_loopback

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from requests import Response
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer
    from sigstore.verify import Verifier

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PUBLIC = "sigstore's public instance"
MOST = 4 << 20  # bytes of a file that says whom to trust
SECONDS = 90.0  # for one answer of an instance, or of all that signing one statement takes
ATTEMPTS = 3
FRESH = 300.0  # seconds for which a certificate signs; it is good for ten minutes
TOKEN = "SIGSTORE_ID_TOKEN"  # noqa: S105 - the variable's name
SECRETS = (TOKEN, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
UNTRUSTED, CA_HINT = "certificate verify failed", "Name your certificate authority's PEM file in REQUESTS_CA_BUNDLE."
ISSUER = "1.3.6.1.4.1.57264.1.1"  # https://github.com/sigstore/fulcio/blob/v1.8.1/docs/oid-info.md
HOW_HINT = (
    "GitHub: 'permissions: id-token: write' for the job; GitLab: 'id_tokens:' with SIGSTORE_ID_TOKEN and the audience "
    f"'sigstore'; elsewhere: such a token in {TOKEN}, or sign with --key"
)

T = TypeVar("T")


class UnverifiedError(ValueError):
    """A bundle that proves nothing; why, in one line."""


@dataclass(frozen=True)
class Identity:
    """Who has signed: a name, such as a workflow's URL, and the URL of the issuer who says that it was they."""

    name: str
    issuer: str

    def __str__(self) -> str:
        return f"{self.name}, as {self.issuer} says"

    @classmethod
    def of(cls, certificate: Certificate) -> Identity:
        """Of a certificate, as it stands there."""
        from cryptography.x509 import SubjectAlternativeName, UnrecognizedExtension

        said = {one.oid.dotted_string: one.value for one in certificate.extensions}
        names, issuer = said.get(SubjectAlternativeName.oid.dotted_string), said.get(ISSUER)
        name = next((one.value for one in names), "") if isinstance(names, SubjectAlternativeName) else ""
        whose = issuer.value.decode(errors="replace") if isinstance(issuer, UnrecognizedExtension) else ""
        return cls(_line(name if isinstance(name, str) else ""), _line(whose))


@dataclass(frozen=True)
class _SignedBy:
    """What sigstore calls a policy: a certificate has to be this identity's."""

    identity: Identity

    def verify(self, cert: Certificate) -> None:
        from sigstore.errors import VerificationError
        from sigstore.verify import policy

        try:
            policy.Identity(identity=self.identity.name, issuer=self.identity.issuer).verify(cert)
        except VerificationError as error:
            raise VerificationError(f"signed by {Identity.of(cert)}") from error


@dataclass(frozen=True)
class Verified:
    """A statement, signed and logged; `time` is when."""

    text: bytes = field(repr=False)
    time: datetime


@dataclass(frozen=True)
class Instance:
    """Services that sign, and whose word is taken: sigstore's public instance, or one's own."""

    name: str
    config: ClientTrustConfig = field(repr=False)

    @classmethod
    def of(cls, path: Path | None) -> Instance:
        """By a file, sigstore's ClientTrustConfig in JSON; without one the public instance is asked whom to trust.

        Raises InputError, and PublishError when that cannot be asked.
        """
        from sigstore.models import ClientTrustConfig

        # what it has to say is in its errors, and no other room prints
        for name in ("sigstore", "tuf", "securesystemslib"):
            logging.getLogger(name).addHandler(logging.NullHandler())
        if path is None:
            return cls(PUBLIC, _persist(PUBLIC, ClientTrustConfig.production))
        try:
            data = read_bounded(path, MOST).decode()
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot read whom to trust: {error}") from error
        try:
            config = ClientTrustConfig.from_json(data)
            found = cls(str(path), config)
            found.verifier, config.signing_config  # noqa: B018 - what is wrong there is said now
        except Exception as error:
            hint = "It is JSON, as sigstore has it: a ClientTrustConfig, with trustedRoot and signingConfig"
            raise InputError(f"{path}: no trust configuration: {_why(error)}", hint=hint) from error
        for url in _urls(json.loads(data)):
            parts = urlsplit(url)
            if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.netloc)):
                raise InputError(
                    f"{path}: {_line(redact(url))}: only HTTPS is spoken, but for this computer's loopback"
                )
        return found

    @cached_property
    def verifier(self) -> Verifier:
        from sigstore.verify import Verifier

        return Verifier(trusted_root=self.config.trusted_root)

    def verify(self, data: bytes, identity: Identity) -> Verified:
        """The statement in a bundle that this identity has signed. Raises UnverifiedError. No network."""

        def statement(bundle: Bundle) -> Verified:
            kind, text = self.verifier.verify_dsse(bundle, _SignedBy(identity))
            if kind != IN_TOTO:
                raise UnverifiedError("what is signed is no in-toto statement")
            return Verified(text, _time_of(bundle))

        return self._verified(data, identity, statement)

    def verify_file(self, data: bytes, content: bytes, identity: Identity) -> None:
        """Raise UnverifiedError unless a bundle says that this identity has signed such a file. No network."""
        self._verified(data, identity, lambda one: self.verifier.verify_artifact(content, one, _SignedBy(identity)))

    def _verified(self, data: bytes, identity: Identity, verify: Callable[[Bundle], T]) -> T:
        from sigstore.errors import CertValidationError
        from sigstore.models import Bundle, InvalidBundle

        if not (identity.name and identity.issuer):
            raise UnverifiedError("nobody is named who is to have signed it")
        try:
            return verify(Bundle.from_json(data))
        except UnverifiedError:
            raise
        except InvalidBundle as error:
            raise UnverifiedError("no bundle of sigstore's, or one with something missing") from error
        except CertValidationError as error:
            why, _, _ = str(error).partition(" (encountered")
            raise UnverifiedError(f"its certificate is refused: {_line(why)}") from error
        except Exception as error:  # whatever a library finds strange in what a stranger wrote
            raise UnverifiedError(_line(str(error)) or type(error).__name__) from error


@dataclass
class Signing:
    """Whoever runs this, signing: with a key of a few minutes that nobody keeps."""

    instance: Instance
    say: Callable[[str], None] = field(default=lambda line: None, repr=False)
    _signer: Signer | None = field(default=None, repr=False)
    _since: float = 0.0
    _identity: Identity | None = None

    @property
    def identity(self) -> Identity:
        """Who signs, by the certificate that the instance gives for it. Raises as `sign` does."""
        self._current()
        assert self._identity is not None  # noqa: S101 - as it was made
        return self._identity

    def sign(self, statement: bytes) -> tuple[bytes, Verified]:
        """The bundle of an in-toto statement, in JSON, and what verifying it has said.

        Raises InputError where nobody says who signs, PublishError where the instance fails.
        """
        from sigstore.dsse import Statement

        said = Statement(statement)
        data = self._signed(lambda signer: signer.sign_dsse(said))
        with self._as_given():
            return data, self.instance.verify(data, self.identity)

    def sign_file(self, content: bytes) -> bytes:
        """The bundle of a file, in JSON, as `cosign sign-blob --bundle` writes it. Raises as `sign` does."""
        data = self._signed(lambda signer: signer.sign_artifact(content))
        with self._as_given():
            self.instance.verify_file(data, content, self.identity)
        return data

    def _signed(self, sign: Callable[[Signer], Bundle]) -> bytes:
        return _persist(self.instance.name, lambda: sign(self._current())).to_json().encode()

    @contextmanager
    def _as_given(self) -> Iterator[None]:
        """Raise PublishError where what the instance gave is no signature."""
        try:
            yield
        except UnverifiedError as error:
            raise PublishError(f"{self.instance.name}: what it gives for a signature is none: {error}") from error

    def _current(self) -> Signer:
        from sigstore.sign import SigningContext

        if self._signer is None or time.monotonic() - self._since > FRESH:
            token = identity_token()
            context = SigningContext.from_trust_config(self.instance.config)

            def begun() -> tuple[Signer, Certificate]:
                with context.signer(token) as signer:
                    return signer, signer._signing_cert()  # whose it is, nothing else tells before it has signed

            self._since = time.monotonic()
            self._signer, certificate = _persist(self.instance.name, begun)
            found = Identity.of(certificate)
            if found != self._identity:
                self.say(f"signing as {found}")
            self._identity = found
        return self._signer


def identity_token() -> IdentityToken:
    """What says who runs this: of continuous integration, or in SIGSTORE_ID_TOKEN. Raises InputError."""
    import requests
    from sigstore.errors import Error
    from sigstore.oidc import IdentityToken, detect_credential

    try:
        raw = os.environ.get(TOKEN) or detect_credential()
        if raw is None:
            raise InputError("nobody says who signs here: there is no identity token", hint=HOW_HINT)
        return IdentityToken(raw)
    except (Error, requests.RequestException, ValueError) as error:
        raise InputError(f"nobody says who signs here: {_why(error)}", hint=HOW_HINT) from None


# --- how an instance is spoken to --------------------------------------------------------------------------


def _persist(name: str, step: Callable[[], T]) -> T:
    """Do a step, again where what failed may pass. Raises PublishError; InputError as it comes."""
    import stamina

    logging.getLogger("stamina").addHandler(logging.NullHandler())  # a retry is no news on a terminal
    try:
        for attempt in stamina.retry_context(on=_may_pass, attempts=ATTEMPTS, timeout=None, wait_initial=0.25):
            with attempt:
                return _bounded(step)
    except DsvmError:
        raise
    except Exception as error:  # of three libraries, each with errors of its own
        raise PublishError(f"{name}: {(why := _why(error))}", hint=CA_HINT if UNTRUSTED in why else "") from None
    raise AssertionError


def _bounded(step: Callable[[], T]) -> T:
    """What a step gives, within SECONDS: sigstore's own requests wait for ever. Raises TimeoutError."""
    ends: list[tuple[T | None, BaseException | None]] = []

    def run() -> None:
        try:
            ends.append((step(), None))
        except BaseException as error:
            ends.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if not ends:
        raise TimeoutError(f"no answer within {SECONDS:.0f} seconds")
    value, error = ends[0]
    if error is not None:
        raise error
    return cast("T", value)


def _may_pass(error: Exception) -> bool:
    """Whether it is worth another try: no connection, too many requests, a service that fails."""
    import requests

    answer = _answer(error)
    if answer is not None:
        return answer.status_code == 429 or answer.status_code >= 500
    return any(isinstance(one, requests.ConnectionError | requests.Timeout) for one in _chain(error))


def _answer(error: BaseException) -> Response | None:
    """What a service has answered, where that was the fault."""
    return next((found for one in _chain(error) if (found := getattr(one, "response", None)) is not None), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _why(error: BaseException) -> str:
    """An error and what led to it, in one line and without what is secret."""
    answer = _answer(error)
    texts = [str(one) for one in _chain(error)]
    if answer is not None:
        texts = [f"{answer.url.partition('?')[0]}: HTTP {answer.status_code}", answer.text[:200]]
    text = ": ".join(dict.fromkeys(one for one in texts if one)) or type(error).__name__
    for name in SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return _line(redact(text))


def _line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:400].strip()


def _urls(config: dict[str, Any]) -> list[str]:
    """Of all services that a trust configuration names for signing."""
    services = config["signingConfig"]
    return [one["url"] for kind in ("caUrls", "rekorTlogUrls", "tsaUrls") for one in services.get(kind) or ()]


def _time_of(bundle: Bundle) -> datetime:
    """When a bundle was logged or, where its log says no time, stamped. It is verified already."""
    material = bundle.verification_material.timestamp_verification_data
    stamps = [one.tst_info.gen_time for one in material.rfc3161_timestamps] if material is not None else []
    entry = bundle.log_entry._inner
    if entry.integrated_time and entry.inclusion_promise:
        return datetime.fromtimestamp(entry.integrated_time, UTC)
    return min(stamps)
