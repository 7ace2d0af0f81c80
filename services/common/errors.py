"""The errors that bestshot raises on purpose.

BestshotError
├── ConfigError               our own settings, files or environment are wrong; nothing starts
├── InvalidArgumentError      a caller's request is wrong; names the field
│   └── InvalidImageError     a picture cannot be read
├── UnauthenticatedError      the call has no token, or an unknown one
├── PermissionDeniedError     the call's token does not allow it
├── NotFoundError             the named resource does not exist
├── FailedPreconditionError   it exists, but its state does not allow the call
├── ResourceExhaustedError    a limit was reached
├── UnavailableError          a service cannot be reached or is not ready yet; try again
└── InternalError             a service returned an invalid answer or failed internally
    └── NonFiniteError        a model returned NaN or infinity
"""

from __future__ import annotations

from typing import ClassVar

EXIT_FAILED = 1
"""Exit code of a command that failed, although its settings are valid."""
EXIT_CONFIG = 2
"""Exit code of a process with invalid settings or environment."""


MAX_MESSAGE_BYTES = 1200
"""Limit for an error on the wire: message and details, escaped, must fit into 8 KiB of trailers."""
MAX_QUOTED_BYTES = 200
"""Limit for a name or value that a message quotes."""


def shorten(text: str, max_bytes: int = MAX_QUOTED_BYTES) -> str:
    """Cuts the middle out of a text that is too long; it may quote input of any length."""
    content = text.encode("utf-8", "replace")
    if len(content) <= max_bytes:
        return content.decode()
    head, tail = content[: max_bytes * 2 // 3], content[-max_bytes // 4 :]
    return f"{head.decode('utf-8', 'ignore')} ... {tail.decode('utf-8', 'ignore')}"


_VERBS = ("comes", "ends", "has", "holds", "is", "must")
"""First words of problems that have the field as their subject."""


class BestshotError(Exception):
    """Base of all errors raised on purpose; `str(error)` is a complete sentence."""

    code: ClassVar[str] = "INTERNAL"
    """Name of the gRPC status code; importing grpc here would slow down every command."""
    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def sentence(self) -> str:
        """The message for people, who do not know the fields of a request."""
        return self.message

    @property
    def metadata(self) -> dict[str, str]:
        """The names in the message, for programs."""
        return {}


class ConfigError(BestshotError):
    """A setting is wrong: unknown key, bad value, missing file, port in use."""

    code = "FAILED_PRECONDITION"
    reason = "CONFIG_INVALID"


class InvalidArgumentError(BestshotError):
    """A field of a request is wrong.

    Args:
        field: Its name; empty if the problem is not about one field.
        problem: A sentence, or the rest of one after the field's name ("must not be empty").
    """

    code = "INVALID_ARGUMENT"
    reason = "ARGUMENT_INVALID"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self._problem = problem

    @property
    def metadata(self) -> dict[str, str]:
        """The field, if the problem is about one."""
        return {"field": self.field} if self.field else {}

    @property
    def sentence(self) -> str:
        """The problem; names the field only if it is the subject."""
        if self.field and self._problem.partition(" ")[0] in _VERBS:
            return f"{self.field} {self._problem}"
        return self._problem


class InvalidImageError(InvalidArgumentError):
    """A picture cannot be read."""

    reason = "IMAGE_INVALID"

    def __init__(self, message: str) -> None:
        super().__init__("", message)


class UnsupportedImageError(InvalidImageError):
    """A picture has a known format that cannot be decoded.

    Args:
        format: Name of the format.
        description: Name of the format in the message.
    """

    def __init__(self, format: str, description: str) -> None:
        super().__init__(f"not supported: {description}")
        self.format = format


class UnauthenticatedError(BestshotError):
    """A call has no token, or an unknown one."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class PermissionDeniedError(BestshotError):
    """A call's token does not allow it."""

    code = "PERMISSION_DENIED"
    reason = "SCOPE_MISSING"

    def __init__(self, method: str, scope: str) -> None:
        super().__init__(f"{method} needs a token with the scope {scope!r}")
        self.method = method
        self.scope = scope

    @property
    def metadata(self) -> dict[str, str]:
        """The method, and the scope that it requires."""
        return {"method": self.method, "required_scope": self.scope}


class NotFoundError(BestshotError):
    """A named resource does not exist."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"

    def __init__(self, resource_type: str, name: str) -> None:
        super().__init__(f"there is no {resource_type} {name!r}")
        self.resource_type = resource_type
        self.name = name

    @property
    def metadata(self) -> dict[str, str]:
        """The kind of resource, and its name or id."""
        return {"resource_type": self.resource_type, "resource_name": self.name}


class FailedPreconditionError(BestshotError):
    """The system is not in the state that the call requires."""

    code = "FAILED_PRECONDITION"
    reason = "PRECONDITION_FAILED"


class ResourceExhaustedError(BestshotError):
    """A limit was reached."""

    code = "RESOURCE_EXHAUSTED"
    reason = "LIMIT_REACHED"


class UnavailableError(BestshotError):
    """A service cannot be reached, or is not ready yet."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"


class InternalError(BestshotError):
    """Something failed that the caller cannot fix."""


class NonFiniteError(InternalError):
    """A model returned NaN or infinity, which is not a valid score."""

    reason = "NON_FINITE"
