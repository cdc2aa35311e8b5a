"""Who gets in: certificates, security policies and users, as a client of another stack meets them."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.interop.conftest import Sessions, credentials
from tests.interop.node_client import Identity, NodeClient, RefusedError, connect, make_identity
from tests.process_rig import PlantreeProcess, wait_until

POLICIES = ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]
MODES = ["Sign", "SignAndEncrypt"]
SPEED = "Plant.Generator1.Speed"


def refused(*arguments: object, **options: object) -> str | None:
    """Try to connect, which must fail; returns the StatusCode's name."""
    with pytest.raises(RefusedError) as caught:
        connect(*arguments, **options)  # type: ignore[arg-type]
    return caught.value.status


@pytest.mark.parametrize("user", [None, "otto"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_and_mode_carries_a_session(
    node: NodeClient, server: PlantreeProcess, identity: Identity, policy: str, mode: str, user: str | None
) -> None:
    with connect(node, server.endpoint, identity, credentials(user), policy, mode) as session:
        assert session.read(f"ns=2;s={SPEED}")["status"] == "Good"
        line = "ns=2;s=Plant.Line2.State"  # whose PLC takes a while to start
        wait_until(lambda: session.read(line)["status"] == "Good", "the PLC of Line2 answers")
        expected = "BadUserAccessDenied" if user is None else "Good"
        assert session.write("Plant.Line2.SpeedSetpoint", "Double", 100.0) == expected


def test_the_endpoints_are_encrypted_ones(node: NodeClient, server: PlantreeProcess) -> None:
    found = node.ask("endpoints", endpoint=server.endpoint)
    assert sorted((it["policy"], it["mode"]) for it in found) == sorted((p, m) for p in POLICIES for m in MODES)
    assert {it["url"] for it in found} == {server.endpoint}
    assert all(it["certificate"] > 500 for it in found)
    assert all(sorted(it["tokens"]) == ["Anonymous", "Certificate", "UserName"] for it in found)
    levels = {(it["policy"], it["mode"]): it["level"] for it in found}
    assert all(levels[policy, "Sign"] < levels[policy, "SignAndEncrypt"] for policy in POLICIES)


def test_an_unencrypted_session_is_refused(node: NodeClient, server: PlantreeProcess, identity: Identity) -> None:
    assert refused(node, server.endpoint, identity, None, "None", "None") is None  # node-opcua does not find it
    result = node.ask("session_in_clear_text", endpoint=server.endpoint)
    assert result == {"created": "BadSecurityPolicyRejected", "activated": None}
    assert node.ask("endpoints", endpoint=server.endpoint)  # GetEndpoints is there for everyone


def test_a_client_is_refused_until_it_is_trusted(node: NodeClient, server: PlantreeProcess, tmp_path: Path) -> None:
    stranger = make_identity(node, tmp_path / "pki", "stranger")
    assert refused(node, server.endpoint, stranger, credentials("otto")) == "BadSecurityChecksFailed"
    (kept,) = [file for file in (server.certs / "rejected").iterdir() if file.name.startswith("stranger")]
    assert kept.suffix == ".der"
    listed = server.cli("certs", "list").stdout
    assert any("rejected" in line and stranger.uri in line for line in listed.splitlines())

    assert server.cli("certs", "trust", "stranger").returncode == 0
    with connect(node, server.endpoint, stranger, credentials("otto")) as session:  # without a restart
        assert session.read(f"ns=2;s={SPEED}")["status"] == "Good"

    assert server.cli("certs", "reject", "stranger").returncode == 0
    assert refused(node, server.endpoint, stranger, credentials("otto")) == "BadSecurityChecksFailed"


def test_an_expired_certificate_is_refused_though_trusted(
    node: NodeClient, server: PlantreeProcess, tmp_path: Path
) -> None:
    start = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    old = make_identity(node, tmp_path / "pki", "expired", startDate=start, validity=10)
    assert server.cli("certs", "trust", old.certificate).returncode == 0
    assert refused(node, server.endpoint, old) == "BadCertificateTimeInvalid"


def test_a_certificate_that_is_not_valid_yet_is_refused(
    node: NodeClient, server: PlantreeProcess, tmp_path: Path
) -> None:
    start = (datetime.now(UTC) + timedelta(days=5)).isoformat()
    early = make_identity(node, tmp_path / "pki", "early", startDate=start, validity=10)
    assert server.cli("certs", "trust", early.certificate).returncode == 0
    assert refused(node, server.endpoint, early) == "BadCertificateTimeInvalid"


def test_a_foreign_application_uri_is_refused(node: NodeClient, server: PlantreeProcess, tmp_path: Path) -> None:
    """A trusted certificate says which application it is of: another one may not use it (OPC 10000-4 5.7.2)."""
    other = make_identity(node, tmp_path / "pki", "foreign")
    assert server.cli("certs", "trust", other.certificate).returncode == 0
    with connect(node, server.endpoint, other) as session:
        assert session.read(f"ns=2;s={SPEED}")["status"] == "Good"
    status = refused(node, server.endpoint, other, None, claimedUri="urn:interop:somebody-else")
    assert status == "BadCertificateUriInvalid"


@pytest.mark.parametrize(
    "user", [("otto", "wrong horse"), ("nobody", "correct horse nobody"), ("otto", ""), ("", "correct horse otto")]
)
def test_wrong_credentials_are_refused(
    node: NodeClient, server: PlantreeProcess, identity: Identity, user: tuple[str, str]
) -> None:
    assert refused(node, server.endpoint, identity, user) in ("BadUserAccessDenied", "BadIdentityTokenRejected")


def test_a_user_certificate_signs_in(
    node: NodeClient, server: PlantreeProcess, identity: Identity, tmp_path: Path
) -> None:
    token = make_identity(node, tmp_path / "pki", "otto-card")
    files = {
        "certificate": str(token.certificate),
        "privateKey": str(token.folder / "own" / "private" / "private_key.pem"),
    }
    assert refused(node, server.endpoint, identity, userCertificate=files) in (
        "BadUserAccessDenied",
        "BadIdentityTokenRejected",
    )
    shutil.copy(token.certificate, server.certs / "users" / "otto.pem")
    try:
        with connect(node, server.endpoint, identity, userCertificate=files) as session:
            assert session.write("Plant.Line2.SpeedSetpoint", "Double", 100.0) == "Good"
    finally:
        (server.certs / "users" / "otto.pem").unlink()


def test_a_removed_user_is_refused_without_a_restart(
    node: NodeClient, server: PlantreeProcess, identity: Identity
) -> None:
    password = server.add_users({"temp": "Operator"})["temp"]
    connect(node, server.endpoint, identity, ("temp", password)).close()
    assert server.cli("users", "remove", "temp").returncode == 0
    assert refused(node, server.endpoint, identity, ("temp", password)) in (
        "BadUserAccessDenied",
        "BadIdentityTokenRejected",
    )


def test_no_anonymous_sessions_where_the_setting_forbids_them(
    plantree_process: Callable[..., PlantreeProcess], trusting: Callable[..., PlantreeProcess],
    node: NodeClient, identity: Identity, small_plant: Path,
) -> None:  # fmt: skip
    """The same server offers security policy None, as it is told to."""
    env = {"PLANTREE_OPCUA__ANONYMOUS": "false", "PLANTREE_OPCUA__ALLOW_NONE": "true"}
    with trusting(plantree_process(env, small_plant, users={"otto": "Operator"})) as strict:
        offered = node.ask("endpoints", endpoint=strict.endpoint)
        assert ("None", "None") in {(it["policy"], it["mode"]) for it in offered}
        assert all("Anonymous" not in it["tokens"] for it in offered)
        assert refused(node, strict.endpoint, identity) is None  # node-opcua finds no such token
        forced = node.ask("session_in_clear_text", endpoint=strict.endpoint)
        assert forced["activated"] in ("BadIdentityTokenRejected", "BadIdentityTokenInvalid", "BadUserAccessDenied")
        with connect(node, strict.endpoint, identity, credentials("otto")) as session:
            assert session.read(f"ns=2;s={SPEED}")["status"] == "Good"
        with connect(node, strict.endpoint, identity, credentials("otto"), "None", "None") as session:
            assert session.read(f"ns=2;s={SPEED}")["status"] == "Good"
            assert session.write("Plant.Generator1.LoadSetpoint", "Double", 200.0) == "Good"


def test_anonymous_sessions_on_an_unencrypted_endpoint_only_read(
    plantree_process: Callable[..., PlantreeProcess], node: NodeClient, identity: Identity, small_plant: Path
) -> None:
    with (
        plantree_process({"PLANTREE_OPCUA__ALLOW_NONE": "true"}, small_plant) as open_server,
        connect(node, open_server.endpoint, identity, None, "None", "None") as session,
    ):
        assert session.read(f"ns=2;s={SPEED}")["status"] == "Good"
        assert session.write("Plant.Generator1.LoadSetpoint", "Double", 200.0) == "BadUserAccessDenied"
        assert session.call("Plant.Generator1.Stop")["status"] == "BadUserAccessDenied"


def test_sessions_are_counted(
    node: NodeClient, server: PlantreeProcess, identity: Identity, sessions: Sessions
) -> None:
    sessions(None)

    def metric() -> float:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=5)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return next(float(line.split()[1]) for line in lines if line.startswith("plantree_sessions "))

    before = metric()
    with connect(node, server.endpoint, identity):
        assert metric() == before + 1
    assert metric() == before
