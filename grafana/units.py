"""Grafana's names of the model's units."""

from address_space.model import BuiltinType, VariableDeclaration

UNIT_IDS = {
    "1": "none",
    "%": "percent",
    "piece": "none",
    "r/min": "rotrpm",
    "Hz": "hertz",
    "V": "volt",
    "kV": "kvolt",
    "A": "amp",
    "W": "watt",
    "kW": "kwatt",
    "MW": "megwatt",
    "kvar": "kvoltampreact",
    "kVA": "kvoltamp",
    "kWh": "kwatth",
    "MWh": "mwatth",
    "bar": "pressurebar",
    "mbar": "pressurembar",
    "Pa": "pressurepa",
    "°C": "celsius",
    "K": "kelvin",
    "l/h": "litreh",
    "l/min": "flowlpm",
    "l": "litre",
    "kg": "masskg",
    "m": "lengthm",
    "mm": "lengthmm",
    "m/s": "velocityms",
    "m/s²": "accMS2",
    "h": "h",
    "min": "m",
    "s": "s",
    "ms": "ms",
    "ppm": "ppm",
    "mg/m³": "conmgm3",
    "dB": "dB",
    "lx": "lux",
    "EUR": "currencyEUR",
}
"""Units that Grafana knows by a name of its own; any other is shown as a suffix."""


def unit_id(declaration: VariableDeclaration) -> str:
    """Return Grafana's unit of a variable."""
    if declaration.type is BuiltinType.DateTime:
        return "dateTimeAsIso"
    if declaration.unit is None:
        return "none"
    return UNIT_IDS.get(declaration.unit.symbol, f"suffix: {declaration.unit.symbol}")
