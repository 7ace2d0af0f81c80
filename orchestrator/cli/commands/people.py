"""`bestshot people`: who is in which photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from orchestrator.cli.options import LATEST, Address, Data
from orchestrator.cli.output import AsJson, OnlyIds, open_console, print_json, print_lines
from orchestrator.domain.wording import pluralize
from services.common.errors import ConfigError

if TYPE_CHECKING:
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
    from google.protobuf.message import Message

    from orchestrator.cli.api import Api

ID_LENGTH = 8
"""Number of characters of an id that are shown."""

app = typer.Typer(
    help="The people found in all albums by runs with people.enabled=true.",
    no_args_is_help=True,
)
Name = Annotated[
    str, typer.Argument(metavar="PERSON", help="A person's name, or the start of the ID.")
]
OnlyPaths = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only the paths of photos, one per line.")
]
Photos = Annotated[
    list[str], typer.Argument(help="Photos with the person: file names, or paths in the album.")
]


@app.command("list")
def list_(
    as_json: AsJson = False,
    quiet: OnlyIds = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """List the people, named ones first."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        people = api.people()
    if as_json:
        print_json({"people": list(map(_fields, people))})
        return
    if quiet:
        print_lines(one.id for one in people)
        return
    console = open_console()
    for one in people:
        mark = ", ignored" if one.is_ignored else ", important" if one.is_important else ""
        counts = f"{pluralize(one.photo_count, 'photo')}{mark}"
        console.print(f"{one.id[:ID_LENGTH]}  {escape(one.name or '(no name)')}: {counts}")
    if not people:
        console.print(
            "no people yet; run `bestshot models pull mobilefacenet`, then "
            "`bestshot curate --set people.enabled=true`"
        )


@app.command()
def show(
    person: Name,
    as_json: AsJson = False,
    quiet: OnlyPaths = False,  # no effect: only paths are printed anyway
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """List a person's photos, clearest face first."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = _find(api, person)
        faces = api.person_faces(found.id)
    if as_json:
        print_json({"person": _fields(found), "faces": list(map(_fields, faces))})
        return
    for path in dict.fromkeys(face.path for face in faces if face.path):
        print(path)


@app.command()
def best(
    run: Annotated[
        str, typer.Option("--run", help="ID of a run, or the start of the ID.")
    ] = LATEST,
    as_json: AsJson = False,
    quiet: OnlyPaths = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Show the highest-scoring photo of each named person in a run."""
    from orchestrator.cli.api import open_api
    from orchestrator.review.best_of_people import find_best_of_people

    with open_api(orchestrator, data) as api:
        run_id = api.find_run(run).id
        records = api.images(run_id)
    best = find_best_of_people(records)
    if as_json:
        people = [
            {"name": name, "best_path": record.path, "composite_score": record.composite_score}
            for name, record in best.items()
        ]
        print_json({"run_id": run_id, "people": people})
        return
    if not best and not quiet:
        print("nobody in this run has a name; `bestshot people list` shows who was found")
    for name, record in best.items():
        print(
            record.path if quiet else f"{name}: {record.path} (score {record.composite_score:.2f})"
        )


@app.command()
def name(
    person: Name,
    new_name: Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")],
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Name a person; later runs recognize the person in new photos."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = _find(api, person)
        _correct(api, "NAME", person_id=found.id, name=new_name)
    print(f"{_label(found)} is now called {new_name.strip()}")


@app.command()
def merge(person: Name, other: Name, orchestrator: Address = None, data: Data = None) -> None:
    """Merge two people who are the same person; the first one's name is kept."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found, ended = _find(api, person), _find(api, other)
        _correct(api, "MERGE", person_id=found.id, other_person_id=ended.id)
    print(f"merged {_label(ended)} into {_label(found)}")


@app.command()
def split(
    person: Name,
    photos: Photos,
    to: Annotated[
        str, typer.Option(help="Person who is in these photos instead. Default: a new person.")
    ] = "",
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Move a person's face in some photos to somebody else."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = _find(api, person)
        target = _find(api, to).id if to else ""
        places = _find_faces(api, found, photos)
        moved = _correct(api, "MOVE", person_id=target, faces=places)
    print(f"moved {pluralize(len(places), 'face')} to {to or moved.person_id[:ID_LENGTH]}")


@app.command("not")
def not_(person: Name, photos: Photos, orchestrator: Address = None, data: Data = None) -> None:
    """Remove a person from photos they are not in."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = _find(api, person)
        places = _find_faces(api, found, photos)
        _correct(api, "NOT_PERSON", person_id=found.id, faces=places)
    print(f"removed {pluralize(len(places), 'face')} from {_label(found)}")


@app.command("not-a-face")
def not_a_face(
    person: Name, photos: Photos, orchestrator: Address = None, data: Data = None
) -> None:
    """Mark a person's "face" in some photos as not a face."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = _find(api, person)
        places = _find_faces(api, found, photos)
        _correct(api, "NOT_FACE", faces=places)
    print(f"removed {pluralize(len(places), 'face')} from {_label(found)}")


@app.command()
def ignore(person: Name, orchestrator: Address = None, data: Data = None) -> None:
    """Ignore a person, such as a stranger."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = _find(api, person)
        _correct(api, "IGNORE", person_id=found.id)
    print(f"ignored {_label(found)}")


@app.command()
def important(
    person: Name,
    off: Annotated[bool, typer.Option("--off", help="Remove the mark from the person.")] = False,
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Mark a person as important: later runs score group shots by important people's faces."""
    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        found = _find(api, person)
        _correct(api, "NOT_IMPORTANT" if off else "IMPORTANT", person_id=found.id)
    print(f"marked {_label(found)} as {'not important' if off else 'important'}")


@app.command()
def undo(
    correction: Annotated[str, typer.Argument(help="ID of a correction.")] = "",
    orchestrator: Address = None,
    data: Data = None,
) -> None:
    """Undo the newest correction, or the given one."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        answer = api.call(pb.UndoPeopleCorrectionRequest(entry_id=correction))
    print(f"undid correction {answer.undone_id}")


@app.command()
def erase(orchestrator: Address = None, data: Data = None) -> None:
    """Delete the identity vectors (biometric data) of all faces."""
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    from orchestrator.cli.api import open_api

    with open_api(orchestrator, data) as api:
        count = api.call(pb.ErasePeopleRequest()).photo_count
    print(
        f"deleted the identity vectors of {pluralize(count, 'photo')}. Names and corrections, "
        f"which contain no vectors, are kept for later runs with people.enabled=true"
    )


def _find(api: Api, person: str) -> pb.Person:
    """Finds a person by name or by the start of the ID.

    Raises:
        ConfigError: No person matches, or several do.
    """
    if not person:
        raise ConfigError("give a person's name, or the start of the ID")
    people = api.people()
    found = [one for one in people if one.name == person]
    found = found or [one for one in people if one.id.startswith(person)]
    if len(found) != 1:
        problem = f"{person!r} is ambiguous" if found else f"no person matches {person!r}"
        raise ConfigError(f"{problem}; run `bestshot people list`")
    return found[0]


def _find_faces(api: Api, person: pb.Person, photos: list[str]) -> list[pb.FacePlace]:
    """Finds where a person's faces are in photos.

    Raises:
        ConfigError: The person is not in one of the photos.
    """
    by_photo: dict[str, list[pb.FacePlace]] = {}
    for face in api.person_faces(person.id):
        for key in {face.path, face.path.rpartition("/")[2]}:
            by_photo.setdefault(key, []).append(face.place)
    for photo in photos:
        if photo not in by_photo:
            raise ConfigError(f"{_label(person)} is not in {photo}; run `bestshot people show`")
    places = [place for photo in photos for place in by_photo[photo]]
    return [place for index, place in enumerate(places) if place not in places[:index]]


def _fields(message: Message) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _correct(api: Api, action: str, **fields: object) -> pb.CorrectPeopleResponse:
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    request = pb.CorrectPeopleRequest(action=f"PEOPLE_ACTION_{action}", **fields)  # type: ignore[arg-type]
    answer: pb.CorrectPeopleResponse = api.call(request)
    return answer


def _label(person: pb.Person) -> str:
    return person.name or person.id[:ID_LENGTH]
