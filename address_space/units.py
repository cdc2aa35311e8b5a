"""Engineering units after UNECE Recommendation 20, as OPC 10000-8 5.6.4.3 (EUInformation) carries them."""

from dataclasses import dataclass

UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"
CURRENCY = "urn:iso:std:iso:4217"


@dataclass(frozen=True, slots=True)
class Unit:
    """One engineering unit: `code` is its UNECE common code, empty where UNECE has none (currencies)."""

    symbol: str
    code: str
    description: str
    namespace: str = UNECE

    @property
    def unit_id(self) -> int:
        """UnitId: the ASCII codes of `code`, big-endian (OPC 10000-8 5.6.4.3); -1 where there is no code."""
        return int.from_bytes(self.code.encode("ascii"), "big") if self.code else -1


_TABLE = [
    Unit("1", "C62", "one"),
    Unit("%", "P1", "percent"),
    Unit("piece", "H87", "piece"),
    Unit("r/min", "RPM", "revolutions per minute"),
    Unit("1/min", "C94", "reciprocal minute"),
    Unit("1/s", "C97", "reciprocal second"),
    Unit("Hz", "HTZ", "hertz"),
    Unit("V", "VLT", "volt"),
    Unit("kV", "KVT", "kilovolt"),
    Unit("A", "AMP", "ampere"),
    Unit("W", "WTT", "watt"),
    Unit("kW", "KWT", "kilowatt"),
    Unit("MW", "MAW", "megawatt"),
    Unit("kvar", "KVR", "kilovar"),
    Unit("kVA", "KVA", "kilovolt - ampere"),
    Unit("kWh", "KWH", "kilowatt hour"),
    Unit("MWh", "MWH", "megawatt hour (1000 kW.h)"),
    Unit("bar", "BAR", "bar [unit of pressure]"),
    Unit("mbar", "MBR", "millibar"),
    Unit("Pa", "PAL", "pascal"),
    Unit("°C", "CEL", "degree Celsius"),
    Unit("K", "KEL", "kelvin"),
    Unit("l/h", "E32", "litre per hour"),
    Unit("l/min", "L2", "litre per minute"),
    Unit("m³/h", "MQH", "cubic metre per hour"),
    Unit("l", "LTR", "litre"),
    Unit("kg", "KGM", "kilogram"),
    Unit("m", "MTR", "metre"),
    Unit("mm", "MMT", "millimetre"),
    Unit("m/s", "MTS", "metre per second"),
    Unit("mm/s", "C16", "millimetre per second"),
    Unit("m/s²", "MSK", "metre per second squared"),
    Unit("N·m", "NU", "newton metre"),
    Unit("h", "HUR", "hour"),
    Unit("min", "MIN", "minute [unit of time]"),
    Unit("s", "SEC", "second [unit of time]"),
    Unit("ms", "C26", "millisecond"),
    Unit("ppm", "59", "part per million"),
    Unit("mg/m³", "GP", "milligram per cubic metre"),
    Unit("dB", "2N", "decibel"),
    Unit("lx", "LUX", "lux"),
    Unit("EUR", "", "euro", CURRENCY),
    Unit("EUR/kWh", "", "euro per kilowatt hour", CURRENCY),
]

UNITS = {unit.symbol: unit for unit in _TABLE}
