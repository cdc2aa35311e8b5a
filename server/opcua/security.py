"""Who may come in: the settings, trust list and users that connections and sessions are checked against."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.uaerrors import UaError

from server import logs
from server.security.principal import ANONYMOUS, Principal
from server.security.trust import TrustList
from server.security.users import Users

log = logs.get(__name__)

ENCRYPTED_POLICIES = [
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]


@dataclass(frozen=True)
class Gatekeeper:
    """Trust in applications, identity of users (OPC 10000-4 5.6.3)."""

    trust: TrustList
    users: Users
    allow_none: bool
    anonymous: bool
    max_sessions: int

    async def authenticate(self, session: Any, parameters: ua.ActivateSessionParameters, peer: str) -> Principal | None:
        """Return who a session is to act for; None refuses. A wrong password is answered late, off the event loop."""
        token: Any = parameters.UserIdentityToken
        if isinstance(token, ua.UserNameIdentityToken):
            try:
                name, password = session.iserver.decrypt_user_token(session, token)
            except (ValueError, UaError, TypeError, IndexError) as error:
                log.debug("unreadable user token", peer=peer, error=str(error))
                raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid) from error
            return await self.users.authenticate(name or "", password or "", peer)
        if isinstance(token, ua.X509IdentityToken):
            return await asyncio.to_thread(self.users.authenticate_certificate, certificate_of(token))
        return ANONYMOUS if self.anonymous else None

    async def stamp(self, principal: Principal | None) -> str:
        """Return what is another text once the user's password or roles have changed; empty for who is no user."""
        if principal is None or principal == ANONYMOUS:
            return ""
        standing = await asyncio.to_thread(self.users.standing, principal.name)
        return "" if standing is None else standing[1]


def certificate_of(token: Any) -> bytes:
    """Return the certificate (DER) in a user's identity token; empty for a token of another kind."""
    return bytes(token.CertificateData or b"") if isinstance(token, ua.X509IdentityToken) else b""
