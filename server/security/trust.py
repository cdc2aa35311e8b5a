"""The trust list: which client applications may connect (OPC 10000-4 6.1.3, OPC 10000-12 7.8)."""

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.ua.status_codes import StatusCodes as _Code
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from server import logs
from server.security.certificate_store import CertificateStore, StoredCertificate, TrustError
from server.security.chain import TrustAnchors, Verdict
from server.security.files import PUBLIC, make_certificate_folders, write_atomic
from server.security.pki import (
    application_uris,
    common_name,
    is_signed_by,
    policy_fault,
    split_chain,
    thumbprint,
    unknown_critical,
    usage_fault,
)

__all__ = ["CertificateRefused", "TrustError", "TrustList"]

_log = logs.get(__name__)

MOST_REJECTED = 50
LOG_AGAIN_AFTER = 60.0  # seconds until the refusal of the same certificate is logged again


# OPC 10000-4 6.1.3: where one of these steps fails at a server, the client is told Bad_SecurityChecksFailed.
_UNTOLD = frozenset(
    {
        _Code.BadCertificateInvalid,
        _Code.BadCertificateChainIncomplete,
        _Code.BadCertificatePolicyCheckFailed,
        _Code.BadCertificateUntrusted,
        _Code.BadCertificateRevoked,
        _Code.BadCertificateIssuerRevoked,
    }
)

# asyncua checks period and applicationUri; its trust store neither reloads nor checks revocation lists by issuer.
_PERIOD = CertificateValidator(CertificateValidatorOptions.TIME_RANGE | CertificateValidatorOptions.PEER_CLIENT)
_PERIOD_AND_URI = CertificateValidator()


class CertificateRefused(ServiceError):  # noqa: N818 - it reads as what happened
    """A client's certificate was refused: `code` is what the client is told, `status` what was wrong."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(_Code.BadSecurityChecksFailed if status in _UNTOLD else status)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class TrustList:
    """The folders trusted, rejected, issuers and crl under `folder`, read anew whenever a file in them changed.

    Instances can be used as asyncua's certificate validator. `refusals` counts refused certificates.
    """

    def __init__(self, folder: Path) -> None:
        make_certificate_folders(folder)
        self.refusals = 0
        self._store = CertificateStore(folder)
        self._lock = threading.Lock()

    async def validate(
        self, certificate: x509.Certificate, app_description: ua.ApplicationDescription | None = None
    ) -> None:
        """Accept or refuse a client's certificate; without `app_description` its applicationUri is not compared.

        Raises CertificateRefused, an asyncua ServiceError, with the StatusCode of the first step that fails.
        """
        await self._validate([certificate], app_description)

    __call__ = validate

    async def validate_session(
        self, channel: bytes | None, session: bytes | None, app_description: ua.ApplicationDescription
    ) -> None:
        """Check CreateSession on a secured channel: OPC 10000-4 5.7.2 wants the channel's certificate there.

        `channel` is the leaf (DER) that opened the secure channel and so proved its key, `session` the
        ClientCertificate of the request, which may be a chain. asyncua compares them nowhere, so that without
        this anybody could name a trusted client's certificate. Raises CertificateRefused.
        """
        try:
            chain = split_chain(session or b"")
            leaf = split_chain(channel or b"")[0]
            if chain[0] != leaf:
                raise CertificateRefused(_Code.BadCertificateInvalid, "it is not the secure channel's certificate")
        except (ValueError, IndexError) as error:
            raise CertificateRefused(_Code.BadCertificateInvalid, "there is no certificate in it") from error
        await self._validate(chain, app_description)

    async def validate_channel(self, sent: bytes) -> None:
        """Check the certificate that opens or renews a secure channel: DER, which may be a chain.

        What application it is for is not known yet: CreateSession tells. Raises CertificateRefused.
        """
        try:
            chain = split_chain(sent)
        except ValueError as error:
            raise CertificateRefused(_Code.BadCertificateInvalid, "there is no certificate in it") from error
        if not chain:
            raise CertificateRefused(_Code.BadCertificateInvalid, "there is no certificate in it")
        await self._validate(chain, None)

    def list(self) -> "Sequence[StoredCertificate]":
        """Every certificate in the folders, by folder and name."""
        return self._store.all()

    def trust(self, name: str) -> StoredCertificate:
        """Move a rejected certificate to the trusted ones, or copy a file there; `name`: see `find`."""
        return self._store.trust(name)

    def reject(self, name: str) -> StoredCertificate:
        """Move a trusted certificate to the rejected ones; `name`: see `find`."""
        return self._store.reject(name)

    def find(self, name: str) -> StoredCertificate:
        """Return the certificate of that file name, common name or thumbprint (8 digits do); TrustError if none."""
        return self._store.find(name)

    async def _validate(
        self, chain: Sequence[x509.Certificate], app_description: ua.ApplicationDescription | None
    ) -> None:
        certificate, *sent = chain
        try:
            anchors = await asyncio.to_thread(self._anchors)
            _check_trust(certificate, sent, anchors)
            await _check_period_and_uri(certificate, app_description)
            _check_usage_and_revocation(certificate, sent, anchors)
        except CertificateRefused as refused:
            self.refusals += 1
            await asyncio.to_thread(self._remember, certificate, refused)
            raise

    def _anchors(self) -> TrustAnchors:
        with self._lock:
            return self._store.anchors()

    def _remember(self, certificate: x509.Certificate, refused: CertificateRefused) -> None:
        """Keep a refused certificate that is not a trusted one, and say so; the same again at most each minute."""
        digits, name = thumbprint(certificate), common_name(certificate)
        facts: dict[str, str] = {"client": name, "thumbprint": digits, "reason": refused.reason}
        if refused.status == _Code.BadCertificateUntrusted:
            facts["trust_with"] = f"python -m server certs trust {digits}"
        file = self._store.folder / "rejected" / f"{name} [{digits}].der"
        with self._lock:
            try:
                if not self._store.anchors().trusts(certificate):
                    if file.exists() and time.time() - file.stat().st_mtime < LOG_AGAIN_AFTER:
                        return
                    write_atomic(file, certificate.public_bytes(Encoding.DER), PUBLIC)
                    self._store.forget_oldest_rejected(MOST_REJECTED)
            except OSError as error:
                facts["not_kept"] = str(error)
        _log.warning("client certificate refused", **facts)


def _check_trust(certificate: x509.Certificate, sent: Sequence[x509.Certificate], anchors: TrustAnchors) -> None:
    unknown = ", ".join(unknown_critical(certificate))
    if unknown:
        raise CertificateRefused(_Code.BadCertificateInvalid, f"it has the unknown critical extension {unknown}")
    # Before the signature: those that are too weak for the policies are not even verified.
    fault = policy_fault(certificate)
    if fault is not None:
        raise CertificateRefused(_Code.BadCertificatePolicyCheckFailed, fault)
    if certificate.subject == certificate.issuer and not is_signed_by(certificate, certificate):
        raise CertificateRefused(_Code.BadCertificateInvalid, "its signature is wrong")
    verdict = anchors.verdict(certificate, sent)
    if verdict is Verdict.UNTRUSTED:
        raise CertificateRefused(_Code.BadCertificateUntrusted, "it is not trusted")
    if verdict is Verdict.ISSUER_EXPIRED:
        raise CertificateRefused(_Code.BadCertificateIssuerTimeInvalid, "the CA that issued it is out of its period")
    if verdict is Verdict.ISSUER_REVOKED:
        raise CertificateRefused(_Code.BadCertificateIssuerRevoked, "the CA that issued it was revoked")


async def _check_period_and_uri(
    certificate: x509.Certificate, app_description: ua.ApplicationDescription | None
) -> None:
    try:
        await _PERIOD.validate(certificate, app_description or ua.ApplicationDescription())
        if app_description is not None:
            await _PERIOD_AND_URI.validate(certificate, app_description)
    except ServiceError as error:
        if error.code == _Code.BadCertificateTimeInvalid:
            reason = (
                f"it is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
                f" to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC only"
            )
            raise CertificateRefused(error.code, reason) from error
        # asyncua says Bad_CertificateInvalid where the SubjectAlternativeName is missing altogether.
        said = app_description.ApplicationUri if app_description else None
        reason = f"it has the applicationUri {application_uris(certificate)}, the client says {said!r}"
        raise CertificateRefused(_Code.BadCertificateUriInvalid, reason) from error


def _check_usage_and_revocation(
    certificate: x509.Certificate, sent: Sequence[x509.Certificate], anchors: TrustAnchors
) -> None:
    fault = usage_fault(certificate)
    if fault is not None:
        raise CertificateRefused(_Code.BadCertificateUseNotAllowed, fault)
    if anchors.is_revoked(certificate, sent):
        raise CertificateRefused(_Code.BadCertificateRevoked, "it was revoked")
