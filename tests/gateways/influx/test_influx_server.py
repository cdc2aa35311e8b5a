"""A whole server writes to VictoriaMetrics, and is not disturbed when that is gone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from address_space import load_plant
from tests.gateways.influx.victoria_rig import Victoria, environment, needs_victoria
from tests.process_rig import PlantreeProcess, wait_until

pytestmark = needs_victoria


@pytest.mark.timeout(150)
def test_every_variable_is_in_the_database(tmp_path: Path, plantree_process: Callable[..., PlantreeProcess]) -> None:
    paths = {variable.path for variable in load_plant().variables}
    with Victoria(tmp_path / "victoria") as victoria, plantree_process(env=environment(victoria)) as server:
        wait_until(lambda: {node for node, _ in victoria.samples("opcua_status")} == paths, "all are there", 20)
        victoria.stop()
        wait_until(lambda: "annot connect" in server.log_file.read_text(), "the outage is told", 20)
        assert server.healthy()
        victoria.start()
        before = len(victoria.samples('opcua_value{node="Plant.Generator1.Speed"}'))
        speed = 'opcua_value{node="Plant.Generator1.Speed"}'
        wait_until(lambda: len(victoria.samples(speed)) > before + 10, "values come again", 40)
        server.add_users({"vera": "Observer"})
        command = ("verify", "--user", "vera", "--only", "influx", "--seconds", "3")
        said: list[str] = []

        def agrees() -> bool:
            """Whether they do: a busy machine may keep the client from seeing every change in time."""
            checked = server.cli(*command, stdin="correct horse vera")
            said.append(checked.stdout + checked.stderr)
            return checked.returncode == 0

        try:
            wait_until(agrees, "the database shows what OPC UA shows", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}: {said[-1]}") from None
