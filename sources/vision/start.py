"""What the vision process is told when it starts: one line of JSON."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from server.logs import LogFormat, LogLevel
from sources.vision.settings import Settings


class Start(BaseModel):
    """The settings, and what the plant file and the server add to them.

    `folder` is what files of the settings are relative to, `evidence` where evidence goes, `paths` the machine of each
    camera, `active` the rules, by path, whose alarms were raised before a restart.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: Settings
    folder: Path
    evidence: Path
    paths: dict[str, str]
    active: dict[str, list[str]] = {}
    log: tuple[LogLevel, LogFormat] = ("info", "auto")
