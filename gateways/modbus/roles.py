"""The role in a client's certificate (Modbus/TCP Security protocol specification 8.4: OID 1.3.6.1.4.1.50316.802.1)."""

from cryptography import x509

_ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
_UTF8_STRING = 0x0C


def role_of(der: bytes) -> str:
    """Return the role that a certificate carries, empty for none."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        value = certificate.extensions.get_extension_for_oid(_ROLE).value
    except x509.ExtensionNotFound:
        return ""
    if not isinstance(value, x509.UnrecognizedExtension):
        return ""
    data = value.value
    if len(data) < 2 or data[0] != _UTF8_STRING or data[1] != len(data) - 2 or data[1] > 127:
        return ""
    return data[2:].decode(errors="replace")
