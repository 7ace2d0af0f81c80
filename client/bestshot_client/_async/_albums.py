"""Albums."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from bestshot_client import _messages
from bestshot_client._async._calls import TRANSFER_TIMEOUT_S, AsyncCalls


class AsyncAlbums(AsyncCalls):
    """Creates, lists, renames and deletes albums."""

    async def create_album(
        self, folder: Path | str | Sequence[Path | str], *, display_name: str = ""
    ) -> pb.Album:
        """Creates an album, or returns the existing album of the same folders.

        Args:
            folder: One or more absolute paths on the orchestrator's host, below its allowed roots.
                Of identical photos, the one in the earlier folder is preferred.
            display_name: Name to show; empty = the names of the folders.
        """
        request = _messages.new_album(folder, display_name)
        album: pb.Album = (await self._call(self._orchestrator.CreateAlbum, request)).album
        return album

    async def upload(self, display_name: str, files: Sequence[Path | str]) -> pb.Album:
        """Uploads local files as an album that the orchestrator stores; `run` then curates it."""
        header = pb.UploadHeader(display_name=display_name)

        def send(timeout: float, metadata: Any) -> Any:  # noqa: ANN401
            call = self._orchestrator.UploadAlbum
            return call(_messages.upload(header, files), timeout=timeout, metadata=metadata)

        album: pb.Album = (await self._repeat(send, header, TRANSFER_TIMEOUT_S)).album
        return album

    async def albums(self) -> AsyncIterator[pb.Album]:
        """Yields all albums, oldest first."""
        request = pb.ListAlbumsRequest()
        pages = self._pages(self._orchestrator.ListAlbums, request, lambda page: page.albums)
        async for album in pages:
            yield album

    async def get_album(self, album_id: str) -> pb.Album:
        """Returns an album."""
        request = pb.GetAlbumRequest(album_id=album_id)
        album: pb.Album = (await self._call(self._orchestrator.GetAlbum, request)).album
        return album

    async def rename_album(self, album_id: str, display_name: str) -> pb.Album:
        """Renames an album."""
        request = pb.UpdateAlbumRequest(album_id=album_id, display_name=display_name)
        request.update_mask.paths.append("display_name")
        album: pb.Album = (await self._call(self._orchestrator.UpdateAlbum, request)).album
        return album

    async def delete_album(self, album_id: str) -> None:
        """Deletes an album with its runs and decisions, but never the photos."""
        request = pb.DeleteAlbumRequest(album_id=album_id)
        await self._call(self._orchestrator.DeleteAlbum, request)

    async def folders(self, folder: Path | str = "") -> pb.ListFoldersResponse:
        """Lists the folders in a folder on the orchestrator's host; "" = the allowed roots."""
        request = pb.ListFoldersRequest(folder=str(folder))
        answer: pb.ListFoldersResponse = await self._call(self._orchestrator.ListFolders, request)
        return answer
