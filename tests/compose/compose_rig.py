"""docker-compose.yml with its secrets made, and its paths as the containers see them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = ROOT / "docker-compose.yml"


def compose() -> dict[str, Any]:
    """Read the file; YAML's merge keys are resolved."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def make_secrets(folder: Path, database: str = "victoria") -> Path:
    """Run docker/setup.py as its users do."""
    command = [sys.executable, str(ROOT / "docker" / "setup.py"), database, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Container:
    """A service's view of files: secrets, and what is mounted from the checkout."""

    def __init__(self, name: str, secrets: Path, language: str = "promql") -> None:
        self.name = name
        self.service: dict[str, Any] = compose()["services"][name]
        self.paths: dict[str, Path] = {}
        files = {key: Path(one["file"]).name for key, one in compose()["secrets"].items()}
        for granted in self.service.get("secrets", ()):
            source, target = (granted["source"], granted["target"]) if isinstance(granted, dict) else (granted, granted)
            self.paths[f"/run/secrets/{target}"] = secrets / files[source]
        for volume in self.service.get("volumes", ()):
            source, target, *_ = volume.replace("${GRAFANA_LANGUAGE:-promql}", language).split(":")
            if source.startswith("./"):
                self.paths[target] = ROOT / source

    def outside(self, text: str) -> str:
        """Put this machine's paths for the container's, the longest first."""
        for inside in sorted(self.paths, key=len, reverse=True):
            text = text.replace(inside, str(self.paths[inside]))
        return text
