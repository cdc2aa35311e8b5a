"""The lock file of the register map: where it is, and that new addresses are kept in it."""

from pathlib import Path

from address_space import DEFAULT_PLANT
from gateways.modbus.addresses import Addresses
from gateways.modbus.mapping import RegisterMap
from gateways.modbus.settings import ModbusSettings
from server import logs
from server.ports import GatewayContext
from server.security.files import PUBLIC, write_atomic

log = logs.get(__name__)

DEFAULT_LOCK = Path(__file__).resolve().parents[2] / "docs" / "modbus" / "plant.lock.json"


def lock_file(settings: ModbusSettings, plant_file: Path, data_dir: Path) -> Path:
    """Return where the addresses of a plant's map are kept."""
    if settings.map_lock is not None:
        return settings.map_lock
    if plant_file.resolve() == DEFAULT_PLANT.resolve():
        return DEFAULT_LOCK
    return data_dir / f"{plant_file.stem}.map.lock.json"


def load_map(context: GatewayContext, settings: ModbusSettings) -> RegisterMap:
    """Return the map of the plant; new addresses are kept at once. Raises MapError, OSError.

    The committed lock file is only read: what it lacks is given the same addresses at every start, until `make docs`.
    """
    file = lock_file(settings, context.plant.file, context.data_dir)
    addresses = Addresses.load(file)
    register_map = RegisterMap(context.plant, addresses)
    if addresses.given and file == DEFAULT_LOCK:
        log.warning("docs/modbus is older than the plant file: run `make docs`", new=addresses.given)
    elif addresses.given:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, addresses.text().encode(), PUBLIC)
        log.info("register map has new addresses", file=str(file), new=addresses.given)
    return register_map
