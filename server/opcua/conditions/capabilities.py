"""The facets of OPC 10000-7 that a plant with conditions has."""

from address_space.model import AlarmKind, Plant

_EVENTS = ("StandardEventSubscription", "AddressSpaceNotifier")
_CONDITIONS = (
    "ACBaseCondition", "ACRefresh2", "ACAddressSpaceInstance", "ACEnable", "ACAlarm", "ACAckAlarm",
    "ACPreviousInstances",
)  # fmt: skip
_EXCLUSIVE = {AlarmKind.LEVEL, AlarmKind.RATE_OF_CHANGE, AlarmKind.DEVIATION}


def profiles(plant: Plant) -> list[str]:
    """Return the names of the facets of events, and of conditions where the plant has some."""
    kinds = {condition.declaration.kind for condition in plant.conditions}
    found = [*_EVENTS, *(_CONDITIONS if kinds else ())]
    if kinds & _EXCLUSIVE:
        found.append("ACExclusiveAlarming")
    if AlarmKind.NON_EXCLUSIVE_LEVEL in kinds:
        found.append("ACNon-ExclusiveAlarming")
    if AlarmKind.CERTIFICATE_EXPIRY in kinds:
        found.append("ACCertificateExpiration")
    return found
