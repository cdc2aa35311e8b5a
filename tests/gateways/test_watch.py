"""`python -m server watch alarms` against a real server: the list, and a line for each event."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.process_rig import PlantreeProcess, wait_until

PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  OvenType:
    description: An oven that is too hot from the start
    variables:
      Temperature: {type: Double, unit: °C, range: [0, 500], access: write, initial: 250, description: Temperature}
    alarms:
      Hot: {input: Temperature, high: 200, severity: 700, message: The oven is hot}
objects:
  Oven1: {type: OvenType}
"""


@pytest.fixture(scope="module")
def oven(plantree_process: Callable[..., PlantreeProcess], tmp_path_factory: pytest.TempPathFactory) -> PlantreeProcess:
    file = tmp_path_factory.mktemp("oven") / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    return plantree_process(plant=file, users={"olga": "Observer"})


def test_the_list_as_it_is_now(oven: PlantreeProcess) -> None:
    done = oven.cli("watch", "alarms", "--user", "olga", "--once", stdin="correct horse olga\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hot" in done.stdout
    assert "700" in done.stdout
    assert "1 alarms, 1 unacknowledged" in done.stdout


@pytest.mark.timeout(180)
def test_a_line_for_each_event(oven: PlantreeProcess) -> None:
    log = oven.folder / "watched.log"
    command = [sys.executable, "-m", "server", "watch", "alarms", "--user", "olga"]
    environment = oven.env | {"PLANTREE_PASSWORD": "correct horse olga", "COLUMNS": "200"}
    with log.open("wb") as out:
        watching = subprocess.Popen(command, cwd=oven.folder, env=environment, stdout=out, stderr=out)
    try:
        wait_until(lambda: "1 alarms, 1 unacknowledged" in log.read_text(), "the list is printed", 60)
        before = log.read_text()
        oven.stop()
        oven.start()  # it finds the server again, and hears of the alarm once more
        wait_until(lambda: "Oven1.Temperature" in log.read_text()[len(before) :], "a line after the restart", 60)
    finally:
        watching.send_signal(2)
        try:
            assert watching.wait(40) == 0
        finally:
            watching.kill()
            watching.wait()


def test_what_goes_wrong_is_said_in_one_line(oven: PlantreeProcess) -> None:
    wrong = oven.cli("watch", "alarms", "--user", "olga", "--once", stdin="wrong\n")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "refuses the user olga" in wrong.stderr
    asked = oven.cli("watch", "alarms", "--help")
    assert "Nothing is acknowledged here" in asked.stdout
