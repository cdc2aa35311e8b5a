"""Certificates of OPC UA clients: those that wait to be trusted, and trusting them."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from address_space.model import Role
from gateways.web.api.common import Answer, TheCaller, TheWeb, answer, documented
from server import quality
from server.ports import CommandError
from server.security.certificate_store import StoredCertificate, TrustError
from server.security.pki import application_uris
from server.security.principal import Principal
from server.security.trust import TrustList

router = APIRouter(tags=["certificates"])


Thumbprint = Annotated[str, Path(pattern="^[0-9A-Fa-f]{40}$", description="SHA-1 of the DER form, in hex.")]
"""All of it: what is shorter could be another's, and a name could be a file's."""


class Certificate(Answer):
    """What a person looks at before trusting a certificate."""

    folder: str
    name: str
    thumbprint: str
    subject: str
    issuer: str
    uris: list[str]
    not_before: str
    not_after: str


class Certificates(Answer):
    """Certificates by folder: trusted, rejected, issuers, users."""

    certificates: list[Certificate]


@router.get("/certificates", responses=documented(Certificates, 501))
async def list_certificates(web: TheWeb, caller: TheCaller) -> Response:
    """Return every certificate known; for a SecurityAdmin."""
    trust = _trust(web, caller.principal)
    return answer({"certificates": [_form(it) for it in await asyncio.to_thread(trust.list)]})


@router.post("/certificates/{thumbprint}/trust", responses=documented(Certificate, 404, 409, 501))
async def trust_certificate(thumbprint: Thumbprint, web: TheWeb, caller: TheCaller) -> Response:
    """Trust a client's certificate that was rejected; for a SecurityAdmin."""
    return await _move(web, caller, thumbprint, trusted=True)


@router.post("/certificates/{thumbprint}/reject", responses=documented(Certificate, 404, 409, 501))
async def reject_certificate(thumbprint: Thumbprint, web: TheWeb, caller: TheCaller) -> Response:
    """Trust a client's certificate no more; for a SecurityAdmin."""
    return await _move(web, caller, thumbprint, trusted=False)


def _form(found: StoredCertificate) -> dict[str, Any]:
    """Return what a person looks at before trusting a certificate."""
    certificate = found.certificate
    return {
        "folder": found.folder,
        "name": found.name,
        "thumbprint": found.thumbprint,
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "uris": list(application_uris(certificate)),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
    }


async def _move(web: TheWeb, caller: TheCaller, thumbprint: str, *, trusted: bool) -> Response:
    """Move a certificate; that it was tried is on the audit trail, too."""
    principal, fault = caller.principal, None
    action = "TrustCertificate" if trusted else "RejectCertificate"
    try:
        trust = _trust(web, principal)
        found = await asyncio.to_thread(trust.trust if trusted else trust.reject, thumbprint)
    except TrustError as error:
        fault = CommandError(quality.BAD_NOT_FOUND, str(error))
        raise fault from error
    except CommandError as error:
        fault = error
        raise
    finally:
        if web.context.record is not None:
            await web.context.record(principal, caller.origin, action, [thumbprint], fault)
    return answer(_form(found))


def _trust(web: TheWeb, principal: Principal) -> TrustList:
    if not principal.has(Role.SecurityAdmin):
        raise CommandError(quality.BAD_USER_ACCESS_DENIED, f"certificates need the role {Role.SecurityAdmin}")
    if web.context.trust is None:
        raise CommandError(quality.BAD_NOT_SUPPORTED, "there is no trust list here")
    return web.context.trust
