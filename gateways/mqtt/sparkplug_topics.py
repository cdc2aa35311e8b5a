"""The topic namespace of Sparkplug B 3.0 (clause 4)."""

from address_space.model import Machine, Plant
from gateways.mqtt.sparkplug_settings import SparkplugSettings

NAMESPACE = "spBv1.0"


def device_id(plant: Plant, machine: Machine) -> str:
    """Return `Line1` for Plant.Line1, `ServerDiagnostics.mqtt` for Plant.ServerDiagnostics.mqtt."""
    return machine.path.removeprefix(f"{plant.root.path}.")


class Topics:
    """Topics of one edge node; also splits them again."""

    def __init__(self, settings: SparkplugSettings) -> None:
        self._group = settings.group_id
        self._node = settings.edge_node_id

    @staticmethod
    def state(host: str) -> str:
        """Return where a host application says whether it is online."""
        return f"{NAMESPACE}/STATE/{host}"

    def node(self, kind: str) -> str:
        """Return the topic of a message of the node: NBIRTH, NDATA, NDEATH, NCMD."""
        return f"{NAMESPACE}/{self._group}/{kind}/{self._node}"

    def device(self, kind: str, device: str) -> str:
        """Return the topic of a message of a device: DBIRTH, DDATA, DDEATH, DCMD."""
        return f"{self.node(kind)}/{device}"

    def split(self, topic: str) -> tuple[str, str | None] | None:
        """Return the kind of message and the device, None for the node's own; None for what is not of this node."""
        levels = topic.split("/")
        if len(levels) not in (4, 5) or (levels[0], levels[1], levels[3]) != (NAMESPACE, self._group, self._node):
            return None
        device = levels[4] if len(levels) == 5 else None
        return (levels[2], device) if levels[2].startswith("N" if device is None else "D") else None

    def command(self, topic: str) -> tuple[str, str | None]:
        """Split the topic of an NCMD or DCMD; raises ValueError."""
        found = self.split(topic)
        if found is None or found[0] not in ("NCMD", "DCMD"):
            raise ValueError(f"{topic} is no topic of a command")
        return found
