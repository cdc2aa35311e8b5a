"""Read Device Identification (Modbus application protocol 6.21): the plant's nameplate."""

from collections.abc import Mapping

from pymodbus.constants import ExcCodes, MoreData
from pymodbus.pdu import ReadDeviceInformationRequest
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse

from address_space.model import Plant
from gateways.modbus.protocol import RefusedError
from server import VERSION

_LAST_OF = {1: 0x02, 2: 0x06, 3: 0xFF}  # basic, regular, extended: 6.21, read device ID code
_INDIVIDUAL = 4
_CONFORMITY = 0x82  # regular identification, stream and individual access
_LONGEST = 240  # bytes of an object: one must fit a response


def objects_of(plant: Plant) -> dict[int, bytes]:
    """Return the objects by their number; what the plant has no nameplate for is Plantree's own."""
    plate: Mapping[str, str] = plant.root.nameplate
    texts = {
        0: plate.get("Manufacturer", "Plantree"),
        1: plate.get("ProductCode", plant.name),
        2: plate.get("SoftwareRevision", VERSION),
        3: plate.get("ManufacturerUri", ""),
        4: "Plantree Modbus TCP mirror",
        5: plate.get("Model", plant.name),
        6: plant.description,
    }
    return {number: text.encode()[:_LONGEST] for number, text in texts.items() if text}


def identify(request: ReadDeviceInformationRequest, plant: Plant) -> ReadDeviceInformationResponse:
    """Answer a request; raises RefusedError."""
    objects = objects_of(plant)
    if request.read_code == _INDIVIDUAL:
        if request.object_id not in objects:
            raise RefusedError(ExcCodes.ILLEGAL_ADDRESS)
        chosen = {request.object_id: objects[request.object_id]}
    elif request.read_code in _LAST_OF:
        last = _LAST_OF[request.read_code]
        first = request.object_id if request.object_id in objects and request.object_id <= last else 0
        chosen = {number: text for number, text in objects.items() if first <= number <= last}
    else:
        raise RefusedError(ExcCodes.ILLEGAL_VALUE)
    response = ReadDeviceInformationResponse(request.read_code, chosen)
    response.conformity, response.more_follows = _CONFORMITY, MoreData.NOTHING
    return response
