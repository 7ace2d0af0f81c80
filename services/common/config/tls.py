"""Settings of TLS between the parts."""

from __future__ import annotations

from typing import Literal

from services.common.config.layers import Settings, UserPath

SYSTEM: Literal["system"] = "system"
"""Value of ca_file: trust the system's root certificates."""


class TlsSettings(Settings):
    """Section `shared.tls` of services.yaml; PEM files.

    Attributes:
        certificate_file: The part's own certificate chain, shown to its clients and, where they
            ask for one, to the servers that it calls; None = it serves without TLS.
        key_file: Private key of that certificate.
        ca_file: Certificates of the trusted authorities; "system" = the system's root
            certificates; None = it calls without TLS.
        require_client_certificate: Whether a server lets only clients in whose certificate is by
            such an authority (mutual TLS).
    """

    certificate_file: UserPath | None
    key_file: UserPath | None
    ca_file: Literal["system"] | UserPath | None
    require_client_certificate: bool
