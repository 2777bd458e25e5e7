"""The few octets of TLS that are written and read by hand, before or beside OpenSSL (RFC 8446 sections 5 and 6)."""

from typing import Final

HANDSHAKE: Final = 22
CLIENT_HELLO: Final = 1
RECORD_HEADER_SIZE: Final = 5
#: The most plaintext that one record carries.
RECORD_SIZE: Final = 16384

ALERT_RECORD_OVERFLOW: Final = 22
ALERT_DECODE_ERROR: Final = 50
ALERT_PROTOCOL_VERSION: Final = 70
ALERT_INTERNAL_ERROR: Final = 80
ALERT_UNRECOGNIZED_NAME: Final = 112
ALERT_NO_APPLICATION_PROTOCOL: Final = 120


def fatal_alert(description: int) -> bytes:
    """Write the record of a fatal alert for a peer with which no keys are agreed yet."""
    return bytes((21, 3, 3, 0, 2, 2, description))
