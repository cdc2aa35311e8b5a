"""One server process and one node-opcua process for the whole suite; sessions of each user are made once."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.node_client import Connection, Identity, NodeClient, connect, make_identity
from tests.process_rig import CHECKOUT, PASSWORD, PlantreeProcess, calm_plant

USERS = {
    "olga": "Observer",
    "otto": "Operator",
    "emil": "Engineer",
    "susi": "Supervisor",
    "anna": "AuthenticatedUser",
    "carl": "ConfigureAdmin",
    "sven": "SecurityAdmin",
}
Sessions = Callable[[str | None], Connection]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeClient]:
    """Return node-opcua, running."""
    client = NodeClient(tmp_path_factory.mktemp("node") / "stderr.log")
    yield client
    client.close()


@pytest.fixture(scope="session")
def identity(node: NodeClient, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """Return the client application that the servers of the suite trust."""
    return make_identity(node, tmp_path_factory.mktemp("pki"), "interop-client")


@pytest.fixture(scope="session")
def trusting(identity: Identity) -> Callable[[PlantreeProcess], PlantreeProcess]:
    """Return a function that makes a server trust the client."""

    def trust(server: PlantreeProcess) -> PlantreeProcess:
        shutil.copy(identity.certificate, server.certs / "trusted" / f"{identity.name}.pem")
        return server

    return trust


@pytest.fixture(scope="session")
def quick_plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the default plant with a generator that starts and stops eight times as fast, and a camera in no queue.

    As it is, the camera waits until the machine has nothing else to do, which tests in a row may not let happen.
    """
    quick = (CHECKOUT / "address_space" / "plant.yaml").read_text()
    for place, more in (("kind: physics,", " time_scale: 8,"), ("vision: {kind: vision,", " priority: normal,")):
        assert quick.count(place) == 1
        quick = quick.replace(place, place + more)
    file = tmp_path_factory.mktemp("plant") / "plant.yaml"
    file.write_text(quick)
    return file


@pytest.fixture(scope="session")
def small_plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the default plant without lines and pictures, whose sources are processes that take long to start."""
    lines = [f"{name}{number}{kind}" for number in (1, 2, 3) for name, kind in (("Line", ""), ("line", "_plc"))]
    return calm_plant(tmp_path_factory.mktemp("plant") / "small.yaml", {*lines, "vision"})


@pytest.fixture(scope="module")
def server(
    plantree_process: Callable[..., PlantreeProcess], trusting: Callable[..., PlantreeProcess], quick_plant: Path
) -> PlantreeProcess:
    """Return the server of the default plant, with USERS and with the client trusted."""
    return trusting(plantree_process(plant=quick_plant, users=USERS))


@pytest.fixture(scope="module")
def sessions(node: NodeClient, server: PlantreeProcess, identity: Identity) -> Iterator[Sessions]:
    """Return a function from a user's name (None: anonymous) to that user's session, the same at every call."""
    made: dict[str | None, Connection] = {}

    def session(name: str | None) -> Connection:
        if name not in made:
            made[name] = connect(node, server.endpoint, identity, credentials(name))
        return made[name]

    yield session
    for connection in made.values():
        connection.close()


@pytest.fixture
def fresh(node: NodeClient, server: PlantreeProcess, identity: Identity) -> Sessions:
    """Return a function from a user's name to a new session, to be closed by who asked for it."""
    return lambda name: connect(node, server.endpoint, identity, credentials(name))


def credentials(name: str | None) -> tuple[str, str] | None:
    """Return name and password of one of USERS."""
    return None if name is None else (name, PASSWORD.format(name=name))


@pytest.fixture
def operator(sessions: Sessions) -> Connection:
    """Return the Operator's session."""
    return sessions("otto")


@pytest.fixture
def supervisor(sessions: Sessions) -> Connection:
    """Return the Supervisor's session."""
    return sessions("susi")


@pytest.fixture
def anonymous(sessions: Sessions) -> Connection:
    """Return a session without a user."""
    return sessions(None)


@pytest.fixture(scope="module")
def exported(server: PlantreeProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the plant's NodeSet2 file as the command line writes it."""
    file = tmp_path_factory.mktemp("nodeset") / "plant.xml"
    done = server.cli("export", "nodeset", file)
    assert done.returncode == 0, done.stderr
    return file
