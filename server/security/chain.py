"""Whether a certificate leads to one that is trusted, and whether it was revoked (OPC 10000-4 6.1.3). No I/O."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from server.security.pki import basic_constraints, is_in_time, is_issuer, is_signed_by, key_fault, policy_fault

LONGEST_CHAIN = 8


class Verdict(enum.Enum):
    """What the search for a trusted issuer came to."""

    TRUSTED = enum.auto()
    UNTRUSTED = enum.auto()
    ISSUER_EXPIRED = enum.auto()
    ISSUER_REVOKED = enum.auto()


@dataclass(frozen=True)
class TrustAnchors:
    """What the administrator put into the folders: trusted certificates and CAs, helping CAs, revocation lists."""

    trusted: Sequence[x509.Certificate] = ()
    issuers: Sequence[x509.Certificate] = ()
    crls: Sequence[x509.CertificateRevocationList] = ()

    def trusts(self, certificate: x509.Certificate) -> bool:
        """Whether this very certificate is among the trusted ones."""
        return certificate in self.trusted

    def verdict(self, certificate: x509.Certificate, sent: Sequence[x509.Certificate] = ()) -> Verdict:
        """Follow the issuers of `certificate` up to a trusted CA, with the help of those the client `sent`.

        Every CA on the way must be in time, unrevoked, of a strong key, and allowed to issue a chain that long.
        """
        if self.trusts(certificate):
            return Verdict.TRUSTED
        known = [*self.trusted, *self.issuers, *sent]
        worst = Verdict.UNTRUSTED
        # Breadth first and each CA once: a client that sends many CAs signing each other gains no exponent.
        seen: set[x509.Certificate] = set()
        children = [certificate]
        for depth in range(LONGEST_CHAIN):
            found: list[x509.Certificate] = []
            for issuer in (ca for ca in known if any(_may_issue(child, ca, depth) for child in children)):
                if issuer in seen:
                    continue
                seen.add(issuer)
                verdict = self._issuer_verdict(issuer, sent)
                if verdict is Verdict.TRUSTED:
                    return verdict
                if verdict is None:
                    found.append(issuer)
                else:
                    worst = verdict
            children = found
        return worst

    def _issuer_verdict(self, issuer: x509.Certificate, sent: Sequence[x509.Certificate]) -> Verdict | None:
        """None: this CA is sound but not trusted itself, so ask who issued it."""
        if not is_in_time(issuer):
            return Verdict.ISSUER_EXPIRED
        if self.is_revoked(issuer, sent):
            return Verdict.ISSUER_REVOKED
        if self.trusts(issuer):
            return Verdict.TRUSTED
        return None if policy_fault(issuer) is None else Verdict.UNTRUSTED

    def is_revoked(self, certificate: x509.Certificate, sent: Sequence[x509.Certificate] = ()) -> bool:
        """Whether a revocation list of the certificate's issuer names it.

        A list whose signature no known issuer made is ignored where that issuer is known; where none of that
        name is known, the list counts: only the administrator puts lists into the folder.
        """
        for crl in self.crls:
            if crl.issuer != certificate.issuer:
                continue
            named = [ca for ca in (*self.trusted, *self.issuers, *sent) if ca.subject == crl.issuer]
            if named and not any(_signed_list(crl, ca) for ca in named):
                continue
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                return True
        return False


def _may_issue(certificate: x509.Certificate, issuer: x509.Certificate, depth: int) -> bool:
    """Whether `issuer` issued `certificate`, with `depth` CAs between it and the leaf."""
    longest = basic_constraints(issuer).path_length
    return (
        issuer != certificate
        and issuer.subject == certificate.issuer
        and is_issuer(issuer)
        and (longest is None or depth <= longest)
        and key_fault(issuer) is None
        and is_signed_by(certificate, issuer)
    )


def _signed_list(crl: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    return key_fault(ca) is None and crl.is_signature_valid(ca.public_key())  # pyright: ignore[reportArgumentType]
