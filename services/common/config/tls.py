"""Settings of TLS between the parts."""

from __future__ import annotations

from typing import Literal

from services.common.config.layers import Settings, UserPath

SYSTEM: Literal["system"] = "system"
"""Value of ca_file: trust the system's root certificates."""


class TlsSettings(Settings):
    """Section `shared.tls` of services.yaml; PEM files."""

    certificate_file: UserPath | None
    """PEM chain that a part shows to its clients and, if asked, to the servers that it calls;
    `null`: it serves without TLS. The web UI serves HTTPS with it. Renewed files apply from the
    next connection"""
    key_file: UserPath | None
    """PEM private key of that certificate"""
    ca_file: Literal["system"] | UserPath | None
    """PEM certificates of the authorities that are trusted, or `system` for the system's root
    certificates; `null`: parts call each other without TLS"""
    require_client_certificate: bool
    """mutual TLS: a server accepts only clients with a certificate by such an authority"""
