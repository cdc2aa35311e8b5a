"""Annotations in Grafana, written as conditions change: a region from a condition's activation to its return."""

from dataclasses import dataclass
from typing import Any

from grafana.boards import TAG


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition that changed; `time` in ms since 1970, `severity` 1 to 1000."""

    condition: str
    source: str
    severity: int
    active: bool
    message: str
    time: int


class Annotations:
    """Writes them with grafana-client's `api.client`; `open` is {condition: id of the annotation without an end}."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.open: dict[str, int] = {}

    def write(self, changed: Transition) -> None:
        """Begin an annotation, or end it; anything else that changes on a condition changes none.

        Raises what grafana-client raises: then nothing is noted, and the same may be written again.
        """
        begun = self.open.get(changed.condition)
        if changed.active and begun is None:
            # grafana-client's own add_annotation sends null for what is not given, which the API has as numbers.
            answer = self._client.POST("/annotations", json=annotation(changed))
            self.open[changed.condition] = int(answer["id"])
        elif not changed.active and begun is not None:
            self._client.PATCH(f"/annotations/{begun}", json={"timeEnd": changed.time})
            del self.open[changed.condition]


def annotation(changed: Transition) -> dict[str, Any]:
    """Return an annotation of the organization: dashboards show those with the tag `plantree`."""
    tags = [TAG, changed.source, f"severity:{changed.severity}"]
    return {"time": changed.time, "tags": tags, "text": f"{changed.condition}: {changed.message}"}
