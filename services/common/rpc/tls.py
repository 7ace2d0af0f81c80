"""TLS between the parts: the clients that a server accepts, the servers that a client trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from services.common.config.tls import SYSTEM, TlsSettings
from services.common.errors import ConfigError
from services.common.user_files import read_user_bytes


def check_tls(tls: TlsSettings) -> None:
    """Checks the files before any server or client uses them.

    Raises:
        ConfigError: A required file is not set, is missing or not PEM, or two files do not match.
    """
    if (tls.certificate_file is None) != (tls.key_file is None):
        raise ConfigError("shared.tls: set both certificate_file and key_file, or neither")
    if tls.require_client_certificate and (
        tls.ca_file in (None, SYSTEM) or tls.certificate_file is None
    ):
        raise ConfigError(
            "shared.tls.require_client_certificate needs certificate_file, key_file and a file of "
            "your own authority as ca_file"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls.certificate_file is not None and tls.key_file is not None:
        _read(tls.certificate_file, "certificate_file")
        _read(tls.key_file, "key_file")
        try:
            context.load_cert_chain(tls.certificate_file, tls.key_file, password=_no_password)
        except ssl.SSLError as error:
            raise ConfigError(
                f"shared.tls: {tls.certificate_file} and {tls.key_file} are not a PEM certificate "
                f"and its private key ({error.reason or error})"
            ) from error
    if isinstance(tls.ca_file, Path):
        _read(tls.ca_file, "ca_file")
        try:
            context.load_verify_locations(tls.ca_file)
        except ssl.SSLError as error:
            raise ConfigError(
                f"shared.tls.ca_file: {tls.ca_file} has no PEM certificate ({error.reason})"
            ) from error


def server_credentials(tls: TlsSettings) -> grpc.ServerCredentials | None:
    """Builds the credentials of a server; None = no TLS.

    The files are read again for every connection, so a renewed certificate is used at once; while
    they cannot be read, the last good ones stay in use.
    """
    if tls.certificate_file is None:
        return None
    last = [_server_configuration(tls)]

    def fetch() -> grpc.ServerCertificateConfiguration:
        try:
            check_tls(tls)
            last[0] = _server_configuration(tls)
        except ConfigError:  # only one of the two files has been renewed
            pass
        return last[0]

    return grpc.dynamic_ssl_server_credentials(last[0], fetch, tls.require_client_certificate)


def channel_credentials(tls: TlsSettings) -> grpc.ChannelCredentials | None:
    """Builds the credentials of a client; None = no TLS."""
    if tls.ca_file is None:
        return None
    roots = _read(tls.ca_file, "ca_file") if isinstance(tls.ca_file, Path) else system_roots()
    if tls.certificate_file is None or tls.key_file is None:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(
        roots,
        _read(tls.key_file, "key_file"),
        _read(tls.certificate_file, "certificate_file"),
    )


def system_roots() -> bytes | None:
    """Returns the system's trusted root certificates as PEM; None = those bundled with gRPC."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode() or None


def _server_configuration(tls: TlsSettings) -> grpc.ServerCertificateConfiguration:
    assert tls.certificate_file is not None
    assert tls.key_file is not None
    pair = (_read(tls.key_file, "key_file"), _read(tls.certificate_file, "certificate_file"))
    authorities = None
    if tls.require_client_certificate and isinstance(tls.ca_file, Path):
        authorities = _read(tls.ca_file, "ca_file")
    return grpc.ssl_server_certificate_configuration([pair], authorities)


def _read(path: Path, key: str) -> bytes:
    return read_user_bytes(path, f"shared.tls.{key}")


def _no_password() -> str:
    raise ConfigError("shared.tls.key_file has a password; use a key without one")
