"""The asynchronous client, from which `generate_sync.py` generates the blocking one."""

from bestshot_client._async._decisions import AsyncDecisions
from bestshot_client._async._models import AsyncModels
from bestshot_client._async._people import AsyncPeople
from bestshot_client._async._results import AsyncResults
from bestshot_client._async._runs import AsyncRuns


class AsyncClient(AsyncModels, AsyncRuns, AsyncResults, AsyncDecisions, AsyncPeople):
    """Calls the model services and the orchestrator; use it in `async with`, or `close` it.

    Every method raises BestshotError if a call fails, OSError if a file cannot be read or written,
    and ValueError if it needs a part whose address is not set or would send the token unencrypted.

    Args:
        addresses: Addresses of the parts.
        security: Token and certificates.
        timeout_s: Deadline of a call, and how long calls to a busy server are retried.
        concurrency: Maximum number of calls that one method makes at a time.
    """
