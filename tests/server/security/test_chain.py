from pathlib import Path

import pytest
from asyncua import ua
from cryptography import x509

from server.security import chain
from server.security.pki import is_signed_by
from server.security.trust import CertificateRefused, TrustList

from . import pki_builder as pki
from .trust_rig import application, put, refusal, self_signed_ca_true

Code = ua.StatusCodes


async def test_issued_by_a_trusted_ca(trust: TrustList, tmp_path: Path) -> None:
    ca = pki.make_ca()
    put(tmp_path, "trusted", ca.certificate)
    await trust.validate(pki.make(issuer=ca), application())


async def test_a_ca_in_issuers_is_not_trusted(trust: TrustList, tmp_path: Path) -> None:
    ca = pki.make_ca()
    put(tmp_path, "issuers", ca.certificate)
    assert (await refusal(trust, pki.make(issuer=ca))).status == Code.BadCertificateUntrusted


async def test_through_an_intermediate_ca(trust: TrustList, tmp_path: Path) -> None:
    root = pki.make_ca("Root")
    middle = pki.make_ca("Middle", issuer=root)
    client = pki.make(issuer=middle)
    put(tmp_path, "trusted", root.certificate)
    assert (await refusal(trust, client)).status == Code.BadCertificateUntrusted
    file = put(tmp_path, "issuers", middle.certificate)
    await trust.validate(client, application())
    file.unlink()
    sent = pki.der(client) + pki.der(middle.certificate)
    await trust.validate_session(pki.der(client), sent, application())


async def test_a_path_longer_than_the_root_allows(trust: TrustList, tmp_path: Path) -> None:
    root = pki.make_ca("Root", path_length=0)
    middle = pki.make_ca("Middle", issuer=root)
    put(tmp_path, "trusted", root.certificate)
    put(tmp_path, "issuers", middle.certificate)
    await trust.validate(pki.make(issuer=root), application())
    assert (await refusal(trust, pki.make(issuer=middle))).status == Code.BadCertificateUntrusted


async def test_an_impostor_of_the_same_name(trust: TrustList, tmp_path: Path) -> None:
    put(tmp_path, "trusted", pki.make_ca().certificate)
    impostor = pki.Issuer(pki.make_ca().certificate, pki.key("impostor"))
    assert (await refusal(trust, pki.make(issuer=impostor))).status == Code.BadCertificateUntrusted


@pytest.mark.parametrize(
    "issuer",
    [
        pki.Issuer(self_signed_ca_true(), pki.key()),
        pki.make_ca("no CA", is_ca=False),
        pki.make_ca("no signing", key_usage=pki.APPLICATION),
    ],
    ids=["a client that says CA:TRUE", "CA:FALSE", "no keyCertSign"],
)
async def test_who_may_not_issue(trust: TrustList, tmp_path: Path, issuer: pki.Issuer) -> None:
    put(tmp_path, "trusted", issuer.certificate)
    client = pki.make("issued", issuer=issuer, private_key=pki.key("issued"))
    assert (await refusal(trust, client)).status == Code.BadCertificateUntrusted


async def test_an_expired_ca(trust: TrustList, tmp_path: Path) -> None:
    ca = pki.make_ca(end=pki.NOW - pki.DAY / 2)
    put(tmp_path, "trusted", ca.certificate)
    assert (await refusal(trust, pki.make(issuer=ca))).code == Code.BadCertificateIssuerTimeInvalid


async def test_revoked(trust: TrustList, tmp_path: Path) -> None:
    ca = pki.make_ca()
    put(tmp_path, "trusted", ca.certificate)
    good, bad = pki.make(issuer=ca), pki.make(issuer=ca)
    (tmp_path / "crl" / "ca.crl").write_bytes(pki.make_crl(ca, bad))
    await trust.validate(good, application())
    refused = await refusal(trust, bad)
    assert refused.status == Code.BadCertificateRevoked
    assert refused.code == Code.BadSecurityChecksFailed


async def test_revoked_although_itself_trusted(trust: TrustList, tmp_path: Path) -> None:
    ca = pki.make_ca()
    client = pki.make(issuer=ca)
    put(tmp_path, "trusted", client)
    await trust.validate(client, application())
    (tmp_path / "crl" / "ca.der").write_bytes(pki.make_crl(ca, client))
    assert (await refusal(trust, client)).status == Code.BadCertificateRevoked


async def test_a_list_that_the_ca_did_not_sign(trust: TrustList, tmp_path: Path) -> None:
    ca = pki.make_ca()
    put(tmp_path, "trusted", ca.certificate)
    client = pki.make(issuer=ca)
    (tmp_path / "crl" / "ca.crl").write_bytes(pki.make_crl(ca, client, signed_by=pki.key("impostor")))
    await trust.validate(client, application())


async def test_a_serial_number_revoked_by_another_ca(trust: TrustList, tmp_path: Path) -> None:
    ca, other = pki.make_ca(), pki.make_ca("Other CA")
    put(tmp_path, "trusted", ca.certificate)
    put(tmp_path, "trusted", other.certificate)
    client = pki.make(issuer=ca)
    (tmp_path / "crl" / "other.crl").write_bytes(pki.make_crl(other, client))
    await trust.validate(client, application())


async def test_a_revoked_ca(trust: TrustList, tmp_path: Path) -> None:
    root = pki.make_ca("Root")
    middle = pki.make_ca("Middle", issuer=root)
    put(tmp_path, "trusted", root.certificate)
    put(tmp_path, "issuers", middle.certificate)
    (tmp_path / "crl" / "root.crl").write_bytes(pki.make_crl(root, middle.certificate))
    assert (await refusal(trust, pki.make(issuer=middle))).status == Code.BadCertificateIssuerRevoked


async def test_cas_that_sign_each_other_are_tried_once(trust: TrustList, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = 0

    def count(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        nonlocal checks
        checks += 1
        return is_signed_by(certificate, issuer)

    monkeypatch.setattr(chain, "is_signed_by", count)
    ca = pki.make_ca("Loop")
    client = pki.make(issuer=ca)
    sent = [client, *(pki.make_ca("Loop", issuer=ca).certificate for _ in range(9))]
    with pytest.raises(CertificateRefused) as caught:
        await trust.validate_session(pki.der(client), b"".join(map(pki.der, sent)), application())
    assert caught.value.status == Code.BadCertificateUntrusted
    assert 9 <= checks <= 30
