"""TLS settings for connections between the parts."""

from __future__ import annotations

from typing import Literal

from services.common.config.layers import Settings, UserPath

SYSTEM: Literal["system"] = "system"
"""Value of ca_file: trust the system's root certificates."""


class TlsSettings(Settings):
    """Section `shared.tls` of services.yaml; PEM files."""

    certificate_file: UserPath | None
    """PEM certificate chain that a part presents to its clients and, on request, to servers that it
    calls; `null`: no TLS. The web UI serves HTTPS with it. Renewed files take effect on the next
    connection"""
    key_file: UserPath | None
    """PEM private key for the certificate"""
    ca_file: Literal["system"] | UserPath | None
    """PEM certificates of trusted authorities, or `system` for the system's root certificates;
    `null`: parts call each other without TLS"""
    require_client_certificate: bool
    """mutual TLS: servers accept only clients with a certificate from a trusted authority"""
