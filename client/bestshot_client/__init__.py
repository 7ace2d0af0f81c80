"""Calls bestshot's services and its orchestrator from Python.

`Client` blocks; `AsyncClient` has the same methods for asyncio. Scores, faces, photos and
runs are the complete messages of the API (`bestshot.*.v1`).
"""

from bestshot_client._aio import AsyncClient
from bestshot_client._channels import Addresses, Security
from bestshot_client._client import Client
from bestshot_client._messages import BestshotError, ImageError

__all__ = ["Addresses", "AsyncClient", "BestshotError", "Client", "ImageError", "Security"]
