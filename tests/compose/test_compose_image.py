"""The image's steps one by one in a plain directory; then what they made runs as the image's user would run it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.compose_rig import ROOT
from tests.compose.dockerfile import Build, instructions
from tests.process_rig import free_port, wait_until

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="changing the user needs root"),
]


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    # Another user is to run it, and none but root enters pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="plantree-image-"))
    folder.chmod(0o755)
    try:
        yield Build(ROOT / "docker" / "Dockerfile", ROOT, folder)
    finally:
        shutil.rmtree(folder)


def test_the_steps_make_an_image_that_runs(build: Build, tmp_path: Path) -> None:
    first, image = build.stages.values()
    assert len(first.ran) + len(image.ran) == (ROOT / "docker" / "Dockerfile").read_text().count("\nRUN ")
    assert not (image.root / "app" / "tests").exists()
    assert not list(image.root.glob("opt/plantree/lib/*/site-packages/pip"))
    assert not list(image.root.glob("opt/plantree/lib/*/site-packages/pytest*"))
    size = sum(file.stat().st_size for file in image.root.rglob("*") if file.is_file() and not file.is_symlink())
    assert size < 650 * 2**20, f"{size / 2**20:.0f} MiB beside the base image"

    user, group = image.user.split(":")
    data = image.path("/data")
    for path in (data, *data.rglob("*")):
        os.chown(path, int(user), int(group))  # COPY --chown
    inside = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    python, *entry = image.entrypoint
    ports = {
        "OPCUA__PORT": free_port(),
        "HTTP__PORT": free_port(),
        "MODBUS__PORT": free_port(),
        "WEB__PORT": free_port(),
        "MQTT__EMBEDDED__PORT": free_port(),
    }
    environment = {**image.environment(), **{f"PLANTREE_{name}": str(port) for name, port in ports.items()}}
    environment |= {f"PLANTREE_{name}__HOST": "127.0.0.1" for name in ("OPCUA", "HTTP", "WEB")}
    app = image.path(image.workdir)
    before = {path: path.stat().st_mtime_ns for path in app.rglob("*")}

    def healthy() -> bool:
        program, *arguments = image.healthcheck
        command = [*inside, str(image.path(program)), *arguments]
        return subprocess.run(command, cwd=app, env=environment, capture_output=True, check=False).returncode == 0

    assert not healthy()
    with (tmp_path / "log").open("wb") as log:
        command = [*inside, str(image.path(python)), *entry]
        server = subprocess.Popen(command, cwd=app, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: server.poll() is not None or healthy(), "it is healthy", 40)
        assert server.poll() is None, (tmp_path / "log").read_text()
    finally:
        server.terminate()
        assert server.wait(20) == 0
    assert (data / "state.sqlite").exists()
    assert {path: path.stat().st_mtime_ns for path in app.rglob("*")} == before
    written = [path for path in image.root.rglob("*") if path.stat().st_uid == int(user)]
    assert all(path.is_relative_to(data) for path in written)


def test_steps_are_read_as_they_stand() -> None:
    text = "# x\nFROM a AS b\nRUN one \\\n  && two\n\nCOPY c d\n"
    assert instructions(text) == [("FROM", "a AS b"), ("RUN", "one    && two"), ("COPY", "c d")]
