"""TLS for a connection to a broker: 1.2 or newer, the server's certificate and name always checked."""

import ssl
from pathlib import Path

from server.errors import StartError


def client_context(ca: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a context that trusts `ca` (PEM), the system's CAs for None; raises StartError with a sentence."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"{ca}: the CA certificates of the MQTT broker cannot be read: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None and key is not None:
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            message = f"{certificate} and {key}: the client certificate for MQTT cannot be used: {error}"
            raise StartError(message) from error
    return context
