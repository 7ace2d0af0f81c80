"""Authorization by bearer tokens with scopes."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

from bestshot.auth.v1 import auth_pb2
from google.protobuf import descriptor_pool
from pydantic import ConfigDict, Field

from services.common.config.layers import Layer, Settings, load, read_yaml
from services.common.errors import ConfigError, PermissionDeniedError, UnauthenticatedError
from services.common.rpc.scopes import ScopeName
from services.common.user_files import WatchedFile, read_user_text

AUTHORIZATION_KEY = "authorization"
_RANKS: Mapping[str, int] = {
    "read": auth_pb2.SCOPE_READ,
    "run": auth_pb2.SCOPE_RUN,
    "admin": auth_pb2.SCOPE_ADMIN,
}
_FOREIGN = {  # the protocol is not ours, so its methods cannot have our option
    "/inference.GRPCInferenceService/ServerLive": auth_pb2.SCOPE_UNSPECIFIED,
    "/inference.GRPCInferenceService/ServerReady": auth_pb2.SCOPE_UNSPECIFIED,
    "/inference.GRPCInferenceService/ModelReady": auth_pb2.SCOPE_UNSPECIFIED,
    "/inference.GRPCInferenceService/ServerMetadata": auth_pb2.SCOPE_READ,
    "/inference.GRPCInferenceService/ModelMetadata": auth_pb2.SCOPE_READ,
    "/inference.GRPCInferenceService/ModelInfer": auth_pb2.SCOPE_RUN,
}


class Authorize(Protocol):
    """Checks that a call is allowed."""

    def __call__(self, method: str, headers: Sequence[str | bytes]) -> str:
        """Returns the name of the call's token; empty if the call does not need one.

        Args:
            method: Full name, "/package.Service/Method".
            headers: Values of all `authorization` headers of the call.

        Raises:
            UnauthenticatedError: The call has no token, or an unknown one.
            PermissionDeniedError: The token does not allow the method.
        """
        ...


class TokenSettings(Settings):
    """One accepted token.

    Attributes:
        sha256: Hex digest of the token; the server's files never contain the token itself.
        scope: Its permissions: read < run < admin.
        expires: Day or time from which the token is refused, in UTC unless it has an offset; None =
            never.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scope: ScopeName
    expires: datetime.datetime | None = None

    def has_expired(self) -> bool:
        """Whether the token is no longer accepted."""
        if self.expires is None:
            return False
        zone = self.expires.tzinfo or datetime.UTC
        return datetime.datetime.now(datetime.UTC) >= self.expires.replace(tzinfo=zone)


class TokensFile(Settings):
    """A file of tokens, by name; errors do not show values, because they may be tokens."""

    model_config = ConfigDict(hide_input_in_errors=True)

    tokens: Annotated[dict[str, TokenSettings], Field(min_length=1)]


def new_token() -> str:
    """Generates a random token of 256 bits."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """Returns the hex sha256 of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_token(path: Path | None) -> str:
    """Reads the token on a file's first line; empty if no file is named."""
    if path is None:
        return ""
    lines = read_user_text(path, "shared.token_file").splitlines()
    if not lines or not lines[0].strip():
        raise ConfigError(f"shared.token_file: the first line of {path} must be the token")
    token = lines[0].strip()
    if not token.isascii() or not token.isprintable():
        raise ConfigError(f"shared.token_file: the token in {path} must be ASCII")
    return token


def allow_all(method: str, headers: Sequence[str | bytes]) -> str:
    """Authorizes every call; for servers without tokens."""
    return ""


def authorize_by(path: Path | None) -> Authorize:
    """Builds an Authorize from a file of tokens; without a file, it allows every call.

    A changed file applies from the next call; see `WatchedFile`.

    Raises:
        ConfigError: The file is missing or wrong.
    """
    if path is None:
        return allow_all
    watched = WatchedFile(path, _read_tokens)

    def authorize(method: str, headers: Sequence[str | bytes]) -> str:
        required = required_scope(method)
        if required == auth_pb2.SCOPE_UNSPECIFIED:
            return ""
        tokens = watched.content()
        name = _find_token(tokens, headers)
        if _RANKS[tokens[name].scope] < required:
            scope = auth_pb2.Scope.Name(required).removeprefix("SCOPE_").lower()
            raise PermissionDeniedError(method, scope)
        return name

    return authorize


def _read_tokens(path: Path) -> Mapping[str, TokenSettings]:
    return load(TokensFile, [Layer(str(path), read_yaml(path))]).tokens


def required_scope(method: str) -> int:
    """Returns the scope that a call's token must have; unknown methods require the highest scope.

    Args:
        method: Full name, "/package.Service/Method".
    """
    if method in _FOREIGN:
        return _FOREIGN[method]
    name = method.removeprefix("/").replace("/", ".")
    try:
        options = descriptor_pool.Default().FindMethodByName(name).GetOptions()
    except KeyError:
        return auth_pb2.SCOPE_ADMIN
    stated = int(options.Extensions[auth_pb2.required_scope])
    return stated or auth_pb2.SCOPE_ADMIN


def _find_token(tokens: Mapping[str, TokenSettings], headers: Sequence[str | bytes]) -> str:
    """Finds the name of the token in the `authorization` header."""
    if len(headers) > 1:  # a proxy may have checked the other one
        raise UnauthenticatedError(f"the call has {len(headers)} authorization headers; send one")
    header = headers[0] if headers else ""
    scheme, _, token = header.partition(" ") if isinstance(header, str) else ("", "", "")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError(
            "this server requires a token: send it as `authorization: Bearer TOKEN` "
            "(shared.token_file)"
        )
    digest = token_digest(token)
    found = None
    for name, known in tokens.items():  # checks all of them, so that timing reveals nothing
        if hmac.compare_digest(known.sha256, digest):
            found = name
    if found is None:
        raise UnauthenticatedError("the token is not known to this server")
    if tokens[found].has_expired():
        raise UnauthenticatedError(f"the token {found!r} has expired; ask for a new one")
    return found
