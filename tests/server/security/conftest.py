from pathlib import Path

import pytest

from server.security import TrustList


@pytest.fixture
def trust(tmp_path: Path) -> TrustList:
    return TrustList(tmp_path)
