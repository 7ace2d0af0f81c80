"""The people in the photos of all albums."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from bestshot_client._async._calls import AsyncCalls


class AsyncPeople(AsyncCalls):
    """Lists, names and corrects people; they are found by runs with `people.enabled`."""

    async def people(self) -> AsyncIterator[pb.Person]:
        """Yields the people of all albums: named ones first, then by number of photos."""
        request = pb.ListPeopleRequest()
        pages = self._pages(self._orchestrator.ListPeople, request, lambda page: page.people)
        async for person in pages:
            yield person

    async def person_faces(self, person_id: str) -> AsyncIterator[pb.PersonFace]:
        """Yields the faces of a person, the clearest first."""
        request = pb.ListPersonFacesRequest(person_id=person_id)
        pages = self._pages(self._orchestrator.ListPersonFaces, request, lambda page: page.faces)
        async for face in pages:
            yield face

    async def people_questions(self, count: int = 0) -> list[pb.PeopleQuestion]:
        """Returns questions about the uncertain faces that matter most; 0 = 5."""
        request = pb.ListPeopleQuestionsRequest(page_size=count)
        answer = await self._call(self._orchestrator.ListPeopleQuestions, request)
        return list(answer.questions)

    async def name_person(self, person_id: str, name: str) -> pb.CorrectPeopleResponse:
        """Names a person."""
        return await self.correct_people(pb.PEOPLE_ACTION_NAME, person_id=person_id, name=name)

    async def correct_people(
        self,
        action: pb.PeopleAction,
        *,
        person_id: str = "",
        other_person_id: str = "",
        faces: Sequence[pb.FacePlace] = (),
        name: str = "",
        decided_by: str = "",
    ) -> pb.CorrectPeopleResponse:
        """Names, merges or otherwise corrects persons; see CorrectPeopleRequest."""
        request = pb.CorrectPeopleRequest(
            action=action,
            person_id=person_id,
            other_person_id=other_person_id,
            faces=faces,
            name=name,
            decided_by=decided_by,
        )
        answer: pb.CorrectPeopleResponse = await self._call(
            self._orchestrator.CorrectPeople, request
        )
        return answer

    async def undo_people_correction(
        self, entry_id: str = "", *, decided_by: str = ""
    ) -> pb.UndoPeopleCorrectionResponse:
        """Undoes a correction of persons ("" = the last one)."""
        request = pb.UndoPeopleCorrectionRequest(entry_id=entry_id, decided_by=decided_by)
        answer: pb.UndoPeopleCorrectionResponse = await self._call(
            self._orchestrator.UndoPeopleCorrection, request
        )
        return answer

    async def erase_people(self) -> int:
        """Deletes all identity vectors; returns the number of photos that had some."""
        answer = await self._call(self._orchestrator.ErasePeople, pb.ErasePeopleRequest())
        count: int = answer.photo_count
        return count
