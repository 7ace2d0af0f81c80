"""Calls bestshot's services and its orchestrator from Python.

`Client` blocks; `AsyncClient` has the same methods for asyncio. Scores, faces, photos and
runs are the complete messages of the API (`bestshot.*.v1`).
"""

from bestshot_client._async import AsyncClient
from bestshot_client._channels import Addresses, Security
from bestshot_client._errors import BestshotError, ImageError
from bestshot_client._sync import Client

__all__ = ["Addresses", "AsyncClient", "BestshotError", "Client", "ImageError", "Security"]
