"""Who may talk to the server and what they may do: certificates, trust, users, roles."""

from server.security.certificates import CertificateError, OwnCertificate, load_or_create, renew
from server.security.database import UsersError
from server.security.principal import ANONYMOUS, Principal
from server.security.roles import effective, parse_roles
from server.security.trust import CertificateRefused, TrustError, TrustList
from server.security.users import Users

__all__ = [
    "ANONYMOUS",
    "CertificateError",
    "CertificateRefused",
    "OwnCertificate",
    "Principal",
    "TrustError",
    "TrustList",
    "Users",
    "UsersError",
    "effective",
    "load_or_create",
    "parse_roles",
    "renew",
]
