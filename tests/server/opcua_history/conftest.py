"""One server with a historian for each module; every test has a press of its own."""

import itertools
from collections.abc import AsyncGenerator, Iterator

import pytest
import pytest_asyncio

from tests.server.opcua_history.history_server import HistoryServer, Press, serving

_NUMBERS: Iterator[int] = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[HistoryServer]:
    """Return a running server."""
    async with serving(tmp_path_factory.mktemp("history")) as running:
        yield running


@pytest.fixture
def press() -> Press:
    """Return a press that no other test has written to."""
    return Press(f"Plant.Press{next(_NUMBERS)}")
