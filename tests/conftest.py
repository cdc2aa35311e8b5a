"""Fixtures that every test may use: a real server process, free ports, users."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests import process_rig
from tests.in_process import quick_servers  # noqa: F401  a fixture of every test
from tests.process_rig import PlantreeProcess

StartPlantree = Callable[..., PlantreeProcess]


@pytest.fixture
def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    return process_rig.free_port()


@pytest.fixture(scope="module")
def plantree_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPlantree]:
    """Return a function that starts `python -m server` on free ports with a folder of its own, and waits for it.

    `plantree_process(env={"PLANTREE_OPCUA__ALLOW_NONE": "true"}, plant=file, arguments=["--nodeset", file])`; what it
    returns is a context manager. What a test leaves running ends with its module.
    """
    with contextlib.ExitStack() as started:

        def start(
            env: Mapping[str, str] | None = None, plant: Path | None = None, arguments: Sequence[str | Path] = (),
            *, users: Mapping[str, str] | None = None,
        ) -> PlantreeProcess:  # fmt: skip
            server = PlantreeProcess(tmp_path_factory.mktemp("plantree"), env, plant, arguments)
            if users:
                server.add_users(users)
            started.callback(server.end)
            return server.start()

        yield start


@pytest.fixture(scope="session")
def users() -> Callable[[PlantreeProcess, Mapping[str, str]], dict[str, str]]:
    """Return a function that adds users {name: role} to a server with the command line; it returns the passwords."""
    return PlantreeProcess.add_users
