"""A rig of subscriptions for each test; the plant is read once."""

from collections.abc import Callable

import pytest

from address_space import Plant
from server.opcua.subscriptions.limits import Limits
from tests.server.opcua_subscriptions import subscriptions_rig
from tests.server.opcua_subscriptions.subscriptions_rig import Rig


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return subscriptions_rig.plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture
def limited(plant: Plant) -> Callable[[Limits], Rig]:
    """Return a function that makes a rig with other limits."""
    return lambda limits: Rig(plant, limits)


@pytest.fixture
async def rig(plant: Plant) -> Rig:
    return Rig(plant)
