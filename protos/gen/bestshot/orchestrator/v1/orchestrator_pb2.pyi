from bestshot.auth.v1 import auth_pb2 as _auth_pb2
from bestshot.face.v1 import face_pb2 as _face_pb2
from bestshot.image.v1 import image_pb2 as _image_pb2
from bestshot.model.v1 import model_pb2 as _model_pb2
from bestshot.quality.v1 import quality_pb2 as _quality_pb2
from bestshot.score.v1 import score_pb2 as _score_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ImageFilter(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FILTER_UNSPECIFIED: _ClassVar[ImageFilter]
    IMAGE_FILTER_SELECTED: _ClassVar[ImageFilter]
    IMAGE_FILTER_NOT_SELECTED: _ClassVar[ImageFilter]
    IMAGE_FILTER_UNREADABLE: _ClassVar[ImageFilter]
    IMAGE_FILTER_NOISE: _ClassVar[ImageFilter]
    IMAGE_FILTER_WITH_FACES: _ClassVar[ImageFilter]
    IMAGE_FILTER_EYES_CLOSED: _ClassVar[ImageFilter]
    IMAGE_FILTER_DECIDED: _ClassVar[ImageFilter]
    IMAGE_FILTER_DOCUMENT: _ClassVar[ImageFilter]
    IMAGE_FILTER_SCREENSHOT: _ClassVar[ImageFilter]
    IMAGE_FILTER_BLANK: _ClassVar[ImageFilter]
    IMAGE_FILTER_MISFIRE: _ClassVar[ImageFilter]
    IMAGE_FILTER_ANIMATION: _ClassVar[ImageFilter]
    IMAGE_FILTER_KEPT: _ClassVar[ImageFilter]
    IMAGE_FILTER_REJECTED: _ClassVar[ImageFilter]
    IMAGE_FILTER_UNDECIDED: _ClassVar[ImageFilter]
    IMAGE_FILTER_SOFT: _ClassVar[ImageFilter]
    IMAGE_FILTER_DUPLICATE: _ClassVar[ImageFilter]
    IMAGE_FILTER_IN_SET: _ClassVar[ImageFilter]
    IMAGE_FILTER_STARS_1: _ClassVar[ImageFilter]
    IMAGE_FILTER_STARS_2: _ClassVar[ImageFilter]
    IMAGE_FILTER_STARS_3: _ClassVar[ImageFilter]
    IMAGE_FILTER_STARS_4: _ClassVar[ImageFilter]
    IMAGE_FILTER_STARS_5: _ClassVar[ImageFilter]
    IMAGE_FILTER_LABEL_RED: _ClassVar[ImageFilter]
    IMAGE_FILTER_LABEL_YELLOW: _ClassVar[ImageFilter]
    IMAGE_FILTER_LABEL_GREEN: _ClassVar[ImageFilter]
    IMAGE_FILTER_LABEL_BLUE: _ClassVar[ImageFilter]

class DecisionAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_ACTION_UNSPECIFIED: _ClassVar[DecisionAction]
    DECISION_ACTION_KEEP: _ClassVar[DecisionAction]
    DECISION_ACTION_REJECT: _ClassVar[DecisionAction]
    DECISION_ACTION_CLEAR: _ClassVar[DecisionAction]
    DECISION_ACTION_MOVE: _ClassVar[DecisionAction]
    DECISION_ACTION_SPLIT: _ClassVar[DecisionAction]
    DECISION_ACTION_MERGE: _ClassVar[DecisionAction]
    DECISION_ACTION_UNDO: _ClassVar[DecisionAction]
    DECISION_ACTION_RATE: _ClassVar[DecisionAction]
    DECISION_ACTION_LABEL: _ClassVar[DecisionAction]
    DECISION_ACTION_PREFER: _ClassVar[DecisionAction]
    DECISION_ACTION_UNSURE: _ClassVar[DecisionAction]

class PeopleAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PEOPLE_ACTION_UNSPECIFIED: _ClassVar[PeopleAction]
    PEOPLE_ACTION_NAME: _ClassVar[PeopleAction]
    PEOPLE_ACTION_MERGE: _ClassVar[PeopleAction]
    PEOPLE_ACTION_MOVE: _ClassVar[PeopleAction]
    PEOPLE_ACTION_NOT_PERSON: _ClassVar[PeopleAction]
    PEOPLE_ACTION_NOT_FACE: _ClassVar[PeopleAction]
    PEOPLE_ACTION_IGNORE: _ClassVar[PeopleAction]
    PEOPLE_ACTION_IMPORTANT: _ClassVar[PeopleAction]
    PEOPLE_ACTION_NOT_IMPORTANT: _ClassVar[PeopleAction]

class FileTransfer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_TRANSFER_UNSPECIFIED: _ClassVar[FileTransfer]
    FILE_TRANSFER_COPY: _ClassVar[FileTransfer]
    FILE_TRANSFER_HARDLINK: _ClassVar[FileTransfer]
    FILE_TRANSFER_SYMLINK: _ClassVar[FileTransfer]

class DownloadFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOWNLOAD_FORMAT_UNSPECIFIED: _ClassVar[DownloadFormat]
    DOWNLOAD_FORMAT_CSV: _ClassVar[DownloadFormat]
    DOWNLOAD_FORMAT_JSON: _ClassVar[DownloadFormat]
    DOWNLOAD_FORMAT_PARQUET: _ClassVar[DownloadFormat]
    DOWNLOAD_FORMAT_XMP_ZIP: _ClassVar[DownloadFormat]
    DOWNLOAD_FORMAT_SELECTED_ZIP: _ClassVar[DownloadFormat]
    DOWNLOAD_FORMAT_RESULTS_ZIP: _ClassVar[DownloadFormat]

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_PENDING: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_COMPLETED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_CANCELLED: _ClassVar[RunState]
    RUN_STATE_INTERRUPTED: _ClassVar[RunState]

class ContentClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTENT_CLASS_UNSPECIFIED: _ClassVar[ContentClass]
    CONTENT_CLASS_PHOTO: _ClassVar[ContentClass]
    CONTENT_CLASS_DOCUMENT: _ClassVar[ContentClass]
    CONTENT_CLASS_SCREENSHOT: _ClassVar[ContentClass]
    CONTENT_CLASS_BLANK: _ClassVar[ContentClass]
    CONTENT_CLASS_MISFIRE: _ClassVar[ContentClass]
    CONTENT_CLASS_ANIMATION: _ClassVar[ContentClass]

class FaceFault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FACE_FAULT_UNSPECIFIED: _ClassVar[FaceFault]
    FACE_FAULT_EYES_CLOSED: _ClassVar[FaceFault]
    FACE_FAULT_FACE_TURNED: _ClassVar[FaceFault]
    FACE_FAULT_NOT_SMILING: _ClassVar[FaceFault]

class ImageStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_STATUS_UNSPECIFIED: _ClassVar[ImageStatus]
    IMAGE_STATUS_SCORED: _ClassVar[ImageStatus]
    IMAGE_STATUS_UNREADABLE: _ClassVar[ImageStatus]

class ReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_CODE_UNSPECIFIED: _ClassVar[ReasonCode]
    REASON_CODE_SELECTED_BEST: _ClassVar[ReasonCode]
    REASON_CODE_SELECTED_DISTINCT: _ClassVar[ReasonCode]
    REASON_CODE_LOWER_SCORE: _ClassVar[ReasonCode]
    REASON_CODE_LOST_COMPARISON: _ClassVar[ReasonCode]
    REASON_CODE_DUPLICATE: _ClassVar[ReasonCode]
    REASON_CODE_BELOW_MIN_SCORE: _ClassVar[ReasonCode]
    REASON_CODE_LOW_IQA: _ClassVar[ReasonCode]
    REASON_CODE_BLURRED: _ClassVar[ReasonCode]
    REASON_CODE_DAMAGED: _ClassVar[ReasonCode]
    REASON_CODE_TOO_SIMILAR: _ClassVar[ReasonCode]
    REASON_CODE_UNREADABLE: _ClassVar[ReasonCode]
    REASON_CODE_USER_KEEP: _ClassVar[ReasonCode]
    REASON_CODE_USER_REJECT: _ClassVar[ReasonCode]
    REASON_CODE_NOISE_EXCLUDED: _ClassVar[ReasonCode]
    REASON_CODE_OWNER_KEEP: _ClassVar[ReasonCode]
    REASON_CODE_OWNER_REJECT: _ClassVar[ReasonCode]
    REASON_CODE_UNSUPPORTED_FORMAT: _ClassVar[ReasonCode]
    REASON_CODE_SELECTED_WITH_SET: _ClassVar[ReasonCode]
    REASON_CODE_IN_SET: _ClassVar[ReasonCode]
    REASON_CODE_VERSION: _ClassVar[ReasonCode]
    REASON_CODE_SELECTED_VERSION: _ClassVar[ReasonCode]
    REASON_CODE_SELECTED_FOR_GOAL: _ClassVar[ReasonCode]
    REASON_CODE_BEYOND_GOAL: _ClassVar[ReasonCode]
    REASON_CODE_KEPT_FROM_LAST_RUN: _ClassVar[ReasonCode]
    REASON_CODE_NOT_BETTER_ENOUGH: _ClassVar[ReasonCode]
    REASON_CODE_SELECTED_FOR_PERSON: _ClassVar[ReasonCode]
    REASON_CODE_COPY: _ClassVar[ReasonCode]
    REASON_CODE_MISFIRE: _ClassVar[ReasonCode]
    REASON_CODE_CONTENT_EXCLUDED: _ClassVar[ReasonCode]
    REASON_CODE_CONTENT_KEPT: _ClassVar[ReasonCode]

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_KEEP: _ClassVar[Decision]
    DECISION_REJECT: _ClassVar[Decision]
IMAGE_FILTER_UNSPECIFIED: ImageFilter
IMAGE_FILTER_SELECTED: ImageFilter
IMAGE_FILTER_NOT_SELECTED: ImageFilter
IMAGE_FILTER_UNREADABLE: ImageFilter
IMAGE_FILTER_NOISE: ImageFilter
IMAGE_FILTER_WITH_FACES: ImageFilter
IMAGE_FILTER_EYES_CLOSED: ImageFilter
IMAGE_FILTER_DECIDED: ImageFilter
IMAGE_FILTER_DOCUMENT: ImageFilter
IMAGE_FILTER_SCREENSHOT: ImageFilter
IMAGE_FILTER_BLANK: ImageFilter
IMAGE_FILTER_MISFIRE: ImageFilter
IMAGE_FILTER_ANIMATION: ImageFilter
IMAGE_FILTER_KEPT: ImageFilter
IMAGE_FILTER_REJECTED: ImageFilter
IMAGE_FILTER_UNDECIDED: ImageFilter
IMAGE_FILTER_SOFT: ImageFilter
IMAGE_FILTER_DUPLICATE: ImageFilter
IMAGE_FILTER_IN_SET: ImageFilter
IMAGE_FILTER_STARS_1: ImageFilter
IMAGE_FILTER_STARS_2: ImageFilter
IMAGE_FILTER_STARS_3: ImageFilter
IMAGE_FILTER_STARS_4: ImageFilter
IMAGE_FILTER_STARS_5: ImageFilter
IMAGE_FILTER_LABEL_RED: ImageFilter
IMAGE_FILTER_LABEL_YELLOW: ImageFilter
IMAGE_FILTER_LABEL_GREEN: ImageFilter
IMAGE_FILTER_LABEL_BLUE: ImageFilter
DECISION_ACTION_UNSPECIFIED: DecisionAction
DECISION_ACTION_KEEP: DecisionAction
DECISION_ACTION_REJECT: DecisionAction
DECISION_ACTION_CLEAR: DecisionAction
DECISION_ACTION_MOVE: DecisionAction
DECISION_ACTION_SPLIT: DecisionAction
DECISION_ACTION_MERGE: DecisionAction
DECISION_ACTION_UNDO: DecisionAction
DECISION_ACTION_RATE: DecisionAction
DECISION_ACTION_LABEL: DecisionAction
DECISION_ACTION_PREFER: DecisionAction
DECISION_ACTION_UNSURE: DecisionAction
PEOPLE_ACTION_UNSPECIFIED: PeopleAction
PEOPLE_ACTION_NAME: PeopleAction
PEOPLE_ACTION_MERGE: PeopleAction
PEOPLE_ACTION_MOVE: PeopleAction
PEOPLE_ACTION_NOT_PERSON: PeopleAction
PEOPLE_ACTION_NOT_FACE: PeopleAction
PEOPLE_ACTION_IGNORE: PeopleAction
PEOPLE_ACTION_IMPORTANT: PeopleAction
PEOPLE_ACTION_NOT_IMPORTANT: PeopleAction
FILE_TRANSFER_UNSPECIFIED: FileTransfer
FILE_TRANSFER_COPY: FileTransfer
FILE_TRANSFER_HARDLINK: FileTransfer
FILE_TRANSFER_SYMLINK: FileTransfer
DOWNLOAD_FORMAT_UNSPECIFIED: DownloadFormat
DOWNLOAD_FORMAT_CSV: DownloadFormat
DOWNLOAD_FORMAT_JSON: DownloadFormat
DOWNLOAD_FORMAT_PARQUET: DownloadFormat
DOWNLOAD_FORMAT_XMP_ZIP: DownloadFormat
DOWNLOAD_FORMAT_SELECTED_ZIP: DownloadFormat
DOWNLOAD_FORMAT_RESULTS_ZIP: DownloadFormat
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_PENDING: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_COMPLETED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_CANCELLED: RunState
RUN_STATE_INTERRUPTED: RunState
CONTENT_CLASS_UNSPECIFIED: ContentClass
CONTENT_CLASS_PHOTO: ContentClass
CONTENT_CLASS_DOCUMENT: ContentClass
CONTENT_CLASS_SCREENSHOT: ContentClass
CONTENT_CLASS_BLANK: ContentClass
CONTENT_CLASS_MISFIRE: ContentClass
CONTENT_CLASS_ANIMATION: ContentClass
FACE_FAULT_UNSPECIFIED: FaceFault
FACE_FAULT_EYES_CLOSED: FaceFault
FACE_FAULT_FACE_TURNED: FaceFault
FACE_FAULT_NOT_SMILING: FaceFault
IMAGE_STATUS_UNSPECIFIED: ImageStatus
IMAGE_STATUS_SCORED: ImageStatus
IMAGE_STATUS_UNREADABLE: ImageStatus
REASON_CODE_UNSPECIFIED: ReasonCode
REASON_CODE_SELECTED_BEST: ReasonCode
REASON_CODE_SELECTED_DISTINCT: ReasonCode
REASON_CODE_LOWER_SCORE: ReasonCode
REASON_CODE_LOST_COMPARISON: ReasonCode
REASON_CODE_DUPLICATE: ReasonCode
REASON_CODE_BELOW_MIN_SCORE: ReasonCode
REASON_CODE_LOW_IQA: ReasonCode
REASON_CODE_BLURRED: ReasonCode
REASON_CODE_DAMAGED: ReasonCode
REASON_CODE_TOO_SIMILAR: ReasonCode
REASON_CODE_UNREADABLE: ReasonCode
REASON_CODE_USER_KEEP: ReasonCode
REASON_CODE_USER_REJECT: ReasonCode
REASON_CODE_NOISE_EXCLUDED: ReasonCode
REASON_CODE_OWNER_KEEP: ReasonCode
REASON_CODE_OWNER_REJECT: ReasonCode
REASON_CODE_UNSUPPORTED_FORMAT: ReasonCode
REASON_CODE_SELECTED_WITH_SET: ReasonCode
REASON_CODE_IN_SET: ReasonCode
REASON_CODE_VERSION: ReasonCode
REASON_CODE_SELECTED_VERSION: ReasonCode
REASON_CODE_SELECTED_FOR_GOAL: ReasonCode
REASON_CODE_BEYOND_GOAL: ReasonCode
REASON_CODE_KEPT_FROM_LAST_RUN: ReasonCode
REASON_CODE_NOT_BETTER_ENOUGH: ReasonCode
REASON_CODE_SELECTED_FOR_PERSON: ReasonCode
REASON_CODE_COPY: ReasonCode
REASON_CODE_MISFIRE: ReasonCode
REASON_CODE_CONTENT_EXCLUDED: ReasonCode
REASON_CODE_CONTENT_KEPT: ReasonCode
DECISION_UNSPECIFIED: Decision
DECISION_KEEP: Decision
DECISION_REJECT: Decision

class ResumeRunRequest(_message.Message):
    __slots__ = ("run_id", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResumeRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class CreateAlbumRequest(_message.Message):
    __slots__ = ("folder", "display_name", "folders", "request_id")
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    FOLDERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    folder: str
    display_name: str
    folders: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, folder: _Optional[str] = ..., display_name: _Optional[str] = ..., folders: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateAlbumResponse(_message.Message):
    __slots__ = ("album", "is_empty")
    ALBUM_FIELD_NUMBER: _ClassVar[int]
    IS_EMPTY_FIELD_NUMBER: _ClassVar[int]
    album: Album
    is_empty: bool
    def __init__(self, album: _Optional[_Union[Album, _Mapping]] = ..., is_empty: bool = ...) -> None: ...

class ListFoldersRequest(_message.Message):
    __slots__ = ("folder",)
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    folder: str
    def __init__(self, folder: _Optional[str] = ...) -> None: ...

class ListFoldersResponse(_message.Message):
    __slots__ = ("folder", "parent_folder", "folders", "photo_count", "left_out_count")
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    PARENT_FOLDER_FIELD_NUMBER: _ClassVar[int]
    FOLDERS_FIELD_NUMBER: _ClassVar[int]
    PHOTO_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    folder: str
    parent_folder: str
    folders: _containers.RepeatedCompositeFieldContainer[FolderEntry]
    photo_count: int
    left_out_count: int
    def __init__(self, folder: _Optional[str] = ..., parent_folder: _Optional[str] = ..., folders: _Optional[_Iterable[_Union[FolderEntry, _Mapping]]] = ..., photo_count: _Optional[int] = ..., left_out_count: _Optional[int] = ...) -> None: ...

class FolderEntry(_message.Message):
    __slots__ = ("folder", "photo_count")
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    PHOTO_COUNT_FIELD_NUMBER: _ClassVar[int]
    folder: str
    photo_count: int
    def __init__(self, folder: _Optional[str] = ..., photo_count: _Optional[int] = ...) -> None: ...

class GetAlbumRequest(_message.Message):
    __slots__ = ("album_id",)
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    def __init__(self, album_id: _Optional[str] = ...) -> None: ...

class GetAlbumResponse(_message.Message):
    __slots__ = ("album",)
    ALBUM_FIELD_NUMBER: _ClassVar[int]
    album: Album
    def __init__(self, album: _Optional[_Union[Album, _Mapping]] = ...) -> None: ...

class ListAlbumsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAlbumsResponse(_message.Message):
    __slots__ = ("albums", "next_page_token")
    ALBUMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    albums: _containers.RepeatedCompositeFieldContainer[Album]
    next_page_token: str
    def __init__(self, albums: _Optional[_Iterable[_Union[Album, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UploadAlbumRequest(_message.Message):
    __slots__ = ("header", "filename", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: UploadHeader
    filename: str
    chunk: bytes
    def __init__(self, header: _Optional[_Union[UploadHeader, _Mapping]] = ..., filename: _Optional[str] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class UploadHeader(_message.Message):
    __slots__ = ("display_name", "request_id")
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    request_id: str
    def __init__(self, display_name: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UploadAlbumResponse(_message.Message):
    __slots__ = ("album", "photo_count")
    ALBUM_FIELD_NUMBER: _ClassVar[int]
    PHOTO_COUNT_FIELD_NUMBER: _ClassVar[int]
    album: Album
    photo_count: int
    def __init__(self, album: _Optional[_Union[Album, _Mapping]] = ..., photo_count: _Optional[int] = ...) -> None: ...

class UpdateAlbumRequest(_message.Message):
    __slots__ = ("album_id", "display_name", "update_mask", "request_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    display_name: str
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, album_id: _Optional[str] = ..., display_name: _Optional[str] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateAlbumResponse(_message.Message):
    __slots__ = ("album",)
    ALBUM_FIELD_NUMBER: _ClassVar[int]
    album: Album
    def __init__(self, album: _Optional[_Union[Album, _Mapping]] = ...) -> None: ...

class DeleteAlbumRequest(_message.Message):
    __slots__ = ("album_id", "request_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    request_id: str
    def __init__(self, album_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteAlbumResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartRunRequest(_message.Message):
    __slots__ = ("album_id", "config_overrides", "profile", "reference_run_id", "request_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    config_overrides: _struct_pb2.Struct
    profile: str
    reference_run_id: str
    request_id: str
    def __init__(self, album_id: _Optional[str] = ..., config_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., profile: _Optional[str] = ..., reference_run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class StartRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class WatchRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("run_id", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class DeleteRunRequest(_message.Message):
    __slots__ = ("run_id", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("album_id", "page_size", "page_token")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    page_size: int
    page_token: str
    def __init__(self, album_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListImagesRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token", "selected_only", "cluster_id", "order_by", "search", "skip", "filters", "camera", "capture_date", "score_ranges", "person_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SELECTED_ONLY_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_DATE_FIELD_NUMBER: _ClassVar[int]
    SCORE_RANGES_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    selected_only: bool
    cluster_id: int
    order_by: str
    search: str
    skip: int
    filters: _containers.RepeatedScalarFieldContainer[ImageFilter]
    camera: str
    capture_date: str
    score_ranges: _containers.RepeatedCompositeFieldContainer[ScoreRange]
    person_id: str
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., selected_only: bool = ..., cluster_id: _Optional[int] = ..., order_by: _Optional[str] = ..., search: _Optional[str] = ..., skip: _Optional[int] = ..., filters: _Optional[_Iterable[_Union[ImageFilter, str]]] = ..., camera: _Optional[str] = ..., capture_date: _Optional[str] = ..., score_ranges: _Optional[_Iterable[_Union[ScoreRange, _Mapping]]] = ..., person_id: _Optional[str] = ...) -> None: ...

class ScoreRange(_message.Message):
    __slots__ = ("score", "minimum", "maximum")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    score: str
    minimum: float
    maximum: float
    def __init__(self, score: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ...) -> None: ...

class ListImagesResponse(_message.Message):
    __slots__ = ("images", "next_page_token", "total_count")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[ImageResult]
    next_page_token: str
    total_count: int
    def __init__(self, images: _Optional[_Iterable[_Union[ImageResult, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_count: _Optional[int] = ...) -> None: ...

class ListClustersRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token", "skip")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    skip: int
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., skip: _Optional[int] = ...) -> None: ...

class ListClustersResponse(_message.Message):
    __slots__ = ("clusters", "next_page_token")
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    next_page_token: str
    def __init__(self, clusters: _Optional[_Iterable[_Union[Cluster, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetImageRequest(_message.Message):
    __slots__ = ("run_id", "path")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    path: str
    def __init__(self, run_id: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class GetImageResponse(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: ImageResult
    def __init__(self, image: _Optional[_Union[ImageResult, _Mapping]] = ...) -> None: ...

class GetRunStatisticsRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunStatisticsResponse(_message.Message):
    __slots__ = ("image_count", "filter_counts", "histograms", "cluster_sizes", "cameras", "capture_dates", "people")
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILTER_COUNTS_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAMS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SIZES_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_DATES_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    image_count: int
    filter_counts: _containers.RepeatedCompositeFieldContainer[FilterCount]
    histograms: _containers.RepeatedCompositeFieldContainer[Histogram]
    cluster_sizes: _containers.RepeatedCompositeFieldContainer[ClusterSizeCount]
    cameras: _containers.RepeatedCompositeFieldContainer[ValueCount]
    capture_dates: _containers.RepeatedCompositeFieldContainer[ValueCount]
    people: _containers.RepeatedCompositeFieldContainer[PersonCount]
    def __init__(self, image_count: _Optional[int] = ..., filter_counts: _Optional[_Iterable[_Union[FilterCount, _Mapping]]] = ..., histograms: _Optional[_Iterable[_Union[Histogram, _Mapping]]] = ..., cluster_sizes: _Optional[_Iterable[_Union[ClusterSizeCount, _Mapping]]] = ..., cameras: _Optional[_Iterable[_Union[ValueCount, _Mapping]]] = ..., capture_dates: _Optional[_Iterable[_Union[ValueCount, _Mapping]]] = ..., people: _Optional[_Iterable[_Union[PersonCount, _Mapping]]] = ...) -> None: ...

class PersonCount(_message.Message):
    __slots__ = ("person_id", "name", "image_count", "best_path")
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BEST_PATH_FIELD_NUMBER: _ClassVar[int]
    person_id: str
    name: str
    image_count: int
    best_path: str
    def __init__(self, person_id: _Optional[str] = ..., name: _Optional[str] = ..., image_count: _Optional[int] = ..., best_path: _Optional[str] = ...) -> None: ...

class ValueCount(_message.Message):
    __slots__ = ("value", "image_count")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    value: str
    image_count: int
    def __init__(self, value: _Optional[str] = ..., image_count: _Optional[int] = ...) -> None: ...

class FilterCount(_message.Message):
    __slots__ = ("filter", "image_count")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    filter: ImageFilter
    image_count: int
    def __init__(self, filter: _Optional[_Union[ImageFilter, str]] = ..., image_count: _Optional[int] = ...) -> None: ...

class Histogram(_message.Message):
    __slots__ = ("score", "minimum", "maximum", "counts")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    score: str
    minimum: float
    maximum: float
    counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, score: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., counts: _Optional[_Iterable[int]] = ...) -> None: ...

class ClusterSizeCount(_message.Message):
    __slots__ = ("image_count", "cluster_count")
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    image_count: int
    cluster_count: int
    def __init__(self, image_count: _Optional[int] = ..., cluster_count: _Optional[int] = ...) -> None: ...

class GetThumbnailRequest(_message.Message):
    __slots__ = ("run_id", "path", "long_side_px", "faces_only", "face_box", "tile")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LONG_SIDE_PX_FIELD_NUMBER: _ClassVar[int]
    FACES_ONLY_FIELD_NUMBER: _ClassVar[int]
    FACE_BOX_FIELD_NUMBER: _ClassVar[int]
    TILE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    path: str
    long_side_px: int
    faces_only: bool
    face_box: _image_pb2.BoundingBox
    tile: Tile
    def __init__(self, run_id: _Optional[str] = ..., path: _Optional[str] = ..., long_side_px: _Optional[int] = ..., faces_only: bool = ..., face_box: _Optional[_Union[_image_pb2.BoundingBox, _Mapping]] = ..., tile: _Optional[_Union[Tile, _Mapping]] = ...) -> None: ...

class Tile(_message.Message):
    __slots__ = ("column", "row")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    column: int
    row: int
    def __init__(self, column: _Optional[int] = ..., row: _Optional[int] = ...) -> None: ...

class GetThumbnailResponse(_message.Message):
    __slots__ = ("jpeg",)
    JPEG_FIELD_NUMBER: _ClassVar[int]
    jpeg: bytes
    def __init__(self, jpeg: _Optional[bytes] = ...) -> None: ...

class DescribeSettingsRequest(_message.Message):
    __slots__ = ("profile",)
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    profile: str
    def __init__(self, profile: _Optional[str] = ...) -> None: ...

class DescribeSettingsResponse(_message.Message):
    __slots__ = ("profile", "config", "settings", "profiles", "allowed_roots")
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_ROOTS_FIELD_NUMBER: _ClassVar[int]
    profile: str
    config: _struct_pb2.Struct
    settings: _containers.RepeatedCompositeFieldContainer[Setting]
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    allowed_roots: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, profile: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., settings: _Optional[_Iterable[_Union[Setting, _Mapping]]] = ..., profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ..., allowed_roots: _Optional[_Iterable[str]] = ...) -> None: ...

class Setting(_message.Message):
    __slots__ = ("key", "description", "minimum", "maximum", "choices")
    KEY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    key: str
    description: str
    minimum: float
    maximum: float
    choices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, key: _Optional[str] = ..., description: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., choices: _Optional[_Iterable[str]] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("name", "description", "models")
    class ModelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    models: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., models: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ServedModel]
    def __init__(self, models: _Optional[_Iterable[_Union[ServedModel, _Mapping]]] = ...) -> None: ...

class ServedModel(_message.Message):
    __slots__ = ("role", "model", "error")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    role: str
    model: _model_pb2.ModelInfo
    error: str
    def __init__(self, role: _Optional[str] = ..., model: _Optional[_Union[_model_pb2.ModelInfo, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class ReselectRequest(_message.Message):
    __slots__ = ("run_id", "config_overrides", "validate_only", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    config_overrides: _struct_pb2.Struct
    validate_only: bool
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., config_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., validate_only: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class ReselectResponse(_message.Message):
    __slots__ = ("run", "gained_paths", "lost_paths", "missing_comparison_count")
    RUN_FIELD_NUMBER: _ClassVar[int]
    GAINED_PATHS_FIELD_NUMBER: _ClassVar[int]
    LOST_PATHS_FIELD_NUMBER: _ClassVar[int]
    MISSING_COMPARISON_COUNT_FIELD_NUMBER: _ClassVar[int]
    run: Run
    gained_paths: _containers.RepeatedScalarFieldContainer[str]
    lost_paths: _containers.RepeatedScalarFieldContainer[str]
    missing_comparison_count: int
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ..., gained_paths: _Optional[_Iterable[str]] = ..., lost_paths: _Optional[_Iterable[str]] = ..., missing_comparison_count: _Optional[int] = ...) -> None: ...

class DiffRunsRequest(_message.Message):
    __slots__ = ("run_id", "other_run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OTHER_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    other_run_id: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., other_run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class DiffRunsResponse(_message.Message):
    __slots__ = ("settings", "models", "versions", "added_paths", "removed_paths", "changed_file_paths", "gained_paths", "lost_paths", "regroupings", "photo_changes", "next_page_token", "total_change_count")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ADDED_PATHS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_PATHS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FILE_PATHS_FIELD_NUMBER: _ClassVar[int]
    GAINED_PATHS_FIELD_NUMBER: _ClassVar[int]
    LOST_PATHS_FIELD_NUMBER: _ClassVar[int]
    REGROUPINGS_FIELD_NUMBER: _ClassVar[int]
    PHOTO_CHANGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CHANGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    settings: _containers.RepeatedCompositeFieldContainer[ValueChange]
    models: _containers.RepeatedCompositeFieldContainer[ValueChange]
    versions: _containers.RepeatedCompositeFieldContainer[ValueChange]
    added_paths: _containers.RepeatedScalarFieldContainer[str]
    removed_paths: _containers.RepeatedScalarFieldContainer[str]
    changed_file_paths: _containers.RepeatedScalarFieldContainer[str]
    gained_paths: _containers.RepeatedScalarFieldContainer[str]
    lost_paths: _containers.RepeatedScalarFieldContainer[str]
    regroupings: _containers.RepeatedCompositeFieldContainer[Regrouping]
    photo_changes: _containers.RepeatedCompositeFieldContainer[ValueChange]
    next_page_token: str
    total_change_count: int
    def __init__(self, settings: _Optional[_Iterable[_Union[ValueChange, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[ValueChange, _Mapping]]] = ..., versions: _Optional[_Iterable[_Union[ValueChange, _Mapping]]] = ..., added_paths: _Optional[_Iterable[str]] = ..., removed_paths: _Optional[_Iterable[str]] = ..., changed_file_paths: _Optional[_Iterable[str]] = ..., gained_paths: _Optional[_Iterable[str]] = ..., lost_paths: _Optional[_Iterable[str]] = ..., regroupings: _Optional[_Iterable[_Union[Regrouping, _Mapping]]] = ..., photo_changes: _Optional[_Iterable[_Union[ValueChange, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_change_count: _Optional[int] = ...) -> None: ...

class ValueChange(_message.Message):
    __slots__ = ("path", "field", "before", "after")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    path: str
    field: str
    before: _struct_pb2.Value
    after: _struct_pb2.Value
    def __init__(self, path: _Optional[str] = ..., field: _Optional[str] = ..., before: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., after: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class Regrouping(_message.Message):
    __slots__ = ("before", "after")
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    before: _containers.RepeatedCompositeFieldContainer[Moment]
    after: _containers.RepeatedCompositeFieldContainer[Moment]
    def __init__(self, before: _Optional[_Iterable[_Union[Moment, _Mapping]]] = ..., after: _Optional[_Iterable[_Union[Moment, _Mapping]]] = ...) -> None: ...

class Moment(_message.Message):
    __slots__ = ("paths",)
    PATHS_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, paths: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainImageRequest(_message.Message):
    __slots__ = ("run_id", "path")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    path: str
    def __init__(self, run_id: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class ExplainImageResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: Explanation
    def __init__(self, explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("path", "reason", "grouping_text", "terms", "penalties", "person_penalty", "max_penalty", "composite_score", "lost_to_path", "similarity", "rank", "moment_size", "points", "tied_count", "tiebreaker_range", "matches", "neighbours", "grouping", "decisions", "lines", "judged_by")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GROUPING_TEXT_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    PENALTIES_FIELD_NUMBER: _ClassVar[int]
    PERSON_PENALTY_FIELD_NUMBER: _ClassVar[int]
    MAX_PENALTY_FIELD_NUMBER: _ClassVar[int]
    COMPOSITE_SCORE_FIELD_NUMBER: _ClassVar[int]
    LOST_TO_PATH_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    MOMENT_SIZE_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    TIED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TIEBREAKER_RANGE_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    GROUPING_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    JUDGED_BY_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    grouping_text: str
    terms: _containers.RepeatedCompositeFieldContainer[ScoreTerm]
    penalties: _containers.RepeatedCompositeFieldContainer[FacePenalty]
    person_penalty: float
    max_penalty: float
    composite_score: float
    lost_to_path: str
    similarity: float
    rank: int
    moment_size: int
    points: float
    tied_count: int
    tiebreaker_range: float
    matches: _containers.RepeatedCompositeFieldContainer[ComparisonMatch]
    neighbours: _containers.RepeatedCompositeFieldContainer[SimilarPhoto]
    grouping: Grouping
    decisions: _containers.RepeatedScalarFieldContainer[str]
    lines: _containers.RepeatedScalarFieldContainer[str]
    judged_by: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ..., grouping_text: _Optional[str] = ..., terms: _Optional[_Iterable[_Union[ScoreTerm, _Mapping]]] = ..., penalties: _Optional[_Iterable[_Union[FacePenalty, _Mapping]]] = ..., person_penalty: _Optional[float] = ..., max_penalty: _Optional[float] = ..., composite_score: _Optional[float] = ..., lost_to_path: _Optional[str] = ..., similarity: _Optional[float] = ..., rank: _Optional[int] = ..., moment_size: _Optional[int] = ..., points: _Optional[float] = ..., tied_count: _Optional[int] = ..., tiebreaker_range: _Optional[float] = ..., matches: _Optional[_Iterable[_Union[ComparisonMatch, _Mapping]]] = ..., neighbours: _Optional[_Iterable[_Union[SimilarPhoto, _Mapping]]] = ..., grouping: _Optional[_Union[Grouping, _Mapping]] = ..., decisions: _Optional[_Iterable[str]] = ..., lines: _Optional[_Iterable[str]] = ..., judged_by: _Optional[str] = ...) -> None: ...

class ScoreTerm(_message.Message):
    __slots__ = ("name", "value", "weight", "contribution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    weight: float
    contribution: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., weight: _Optional[float] = ..., contribution: _Optional[float] = ...) -> None: ...

class FacePenalty(_message.Message):
    __slots__ = ("name", "score", "threshold", "penalty", "is_applied")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PENALTY_FIELD_NUMBER: _ClassVar[int]
    IS_APPLIED_FIELD_NUMBER: _ClassVar[int]
    name: str
    score: float
    threshold: float
    penalty: float
    is_applied: bool
    def __init__(self, name: _Optional[str] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., penalty: _Optional[float] = ..., is_applied: bool = ...) -> None: ...

class ComparisonMatch(_message.Message):
    __slots__ = ("path", "probability", "is_won")
    PATH_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    IS_WON_FIELD_NUMBER: _ClassVar[int]
    path: str
    probability: float
    is_won: bool
    def __init__(self, path: _Optional[str] = ..., probability: _Optional[float] = ..., is_won: bool = ...) -> None: ...

class SimilarPhoto(_message.Message):
    __slots__ = ("path", "similarity", "distance", "is_same_moment", "time_part", "view_part")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    IS_SAME_MOMENT_FIELD_NUMBER: _ClassVar[int]
    TIME_PART_FIELD_NUMBER: _ClassVar[int]
    VIEW_PART_FIELD_NUMBER: _ClassVar[int]
    path: str
    similarity: float
    distance: float
    is_same_moment: bool
    time_part: float
    view_part: float
    def __init__(self, path: _Optional[str] = ..., similarity: _Optional[float] = ..., distance: _Optional[float] = ..., is_same_moment: bool = ..., time_part: _Optional[float] = ..., view_part: _Optional[float] = ...) -> None: ...

class Grouping(_message.Message):
    __slots__ = ("method", "metric", "scene_distance", "cluster_selection_epsilon", "dbscan_eps", "cluster_size", "nearest_inside", "farthest_inside", "nearest_outside", "joint_distance", "core_distance", "outside_core_distance", "min_samples", "separate_hours", "separate_distance", "pause_inside", "pause_outside")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    SCENE_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SELECTION_EPSILON_FIELD_NUMBER: _ClassVar[int]
    DBSCAN_EPS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEAREST_INSIDE_FIELD_NUMBER: _ClassVar[int]
    FARTHEST_INSIDE_FIELD_NUMBER: _ClassVar[int]
    NEAREST_OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    JOINT_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    CORE_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_CORE_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    MIN_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEPARATE_HOURS_FIELD_NUMBER: _ClassVar[int]
    SEPARATE_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    PAUSE_INSIDE_FIELD_NUMBER: _ClassVar[int]
    PAUSE_OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    method: str
    metric: str
    scene_distance: float
    cluster_selection_epsilon: float
    dbscan_eps: float
    cluster_size: int
    nearest_inside: SimilarPhoto
    farthest_inside: SimilarPhoto
    nearest_outside: SimilarPhoto
    joint_distance: float
    core_distance: float
    outside_core_distance: float
    min_samples: int
    separate_hours: float
    separate_distance: float
    pause_inside: float
    pause_outside: float
    def __init__(self, method: _Optional[str] = ..., metric: _Optional[str] = ..., scene_distance: _Optional[float] = ..., cluster_selection_epsilon: _Optional[float] = ..., dbscan_eps: _Optional[float] = ..., cluster_size: _Optional[int] = ..., nearest_inside: _Optional[_Union[SimilarPhoto, _Mapping]] = ..., farthest_inside: _Optional[_Union[SimilarPhoto, _Mapping]] = ..., nearest_outside: _Optional[_Union[SimilarPhoto, _Mapping]] = ..., joint_distance: _Optional[float] = ..., core_distance: _Optional[float] = ..., outside_core_distance: _Optional[float] = ..., min_samples: _Optional[int] = ..., separate_hours: _Optional[float] = ..., separate_distance: _Optional[float] = ..., pause_inside: _Optional[float] = ..., pause_outside: _Optional[float] = ...) -> None: ...

class EvaluateRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class EvaluateRunResponse(_message.Message):
    __slots__ = ("counts", "moments_agreement", "corrected_image_count", "disagreements", "lines")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENTS_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    counts: AgreementCounts
    moments_agreement: float
    corrected_image_count: int
    disagreements: _containers.RepeatedCompositeFieldContainer[Disagreement]
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, counts: _Optional[_Union[AgreementCounts, _Mapping]] = ..., moments_agreement: _Optional[float] = ..., corrected_image_count: _Optional[int] = ..., disagreements: _Optional[_Iterable[_Union[Disagreement, _Mapping]]] = ..., lines: _Optional[_Iterable[str]] = ...) -> None: ...

class AgreementCounts(_message.Message):
    __slots__ = ("kept_selected_count", "kept_missed_count", "rejected_selected_count", "rejected_left_count")
    KEPT_SELECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    KEPT_MISSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_SELECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_LEFT_COUNT_FIELD_NUMBER: _ClassVar[int]
    kept_selected_count: int
    kept_missed_count: int
    rejected_selected_count: int
    rejected_left_count: int
    def __init__(self, kept_selected_count: _Optional[int] = ..., kept_missed_count: _Optional[int] = ..., rejected_selected_count: _Optional[int] = ..., rejected_left_count: _Optional[int] = ...) -> None: ...

class Disagreement(_message.Message):
    __slots__ = ("path", "decision", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    decision: Decision
    reason: str
    def __init__(self, path: _Optional[str] = ..., decision: _Optional[_Union[Decision, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class TuneRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class TuneRunResponse(_message.Message):
    __slots__ = ("proposed_settings", "counts_before", "counts_after", "counts_held_out", "fold_count", "is_better", "settings_yaml", "lines")
    PROPOSED_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_AFTER_FIELD_NUMBER: _ClassVar[int]
    COUNTS_HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    FOLD_COUNT_FIELD_NUMBER: _ClassVar[int]
    IS_BETTER_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_YAML_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    proposed_settings: _containers.RepeatedCompositeFieldContainer[ProposedSetting]
    counts_before: AgreementCounts
    counts_after: AgreementCounts
    counts_held_out: AgreementCounts
    fold_count: int
    is_better: bool
    settings_yaml: str
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, proposed_settings: _Optional[_Iterable[_Union[ProposedSetting, _Mapping]]] = ..., counts_before: _Optional[_Union[AgreementCounts, _Mapping]] = ..., counts_after: _Optional[_Union[AgreementCounts, _Mapping]] = ..., counts_held_out: _Optional[_Union[AgreementCounts, _Mapping]] = ..., fold_count: _Optional[int] = ..., is_better: bool = ..., settings_yaml: _Optional[str] = ..., lines: _Optional[_Iterable[str]] = ...) -> None: ...

class ProposedSetting(_message.Message):
    __slots__ = ("key", "before", "after")
    KEY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    key: str
    before: float
    after: float
    def __init__(self, key: _Optional[str] = ..., before: _Optional[float] = ..., after: _Optional[float] = ...) -> None: ...

class ListPairsRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPairsResponse(_message.Message):
    __slots__ = ("pairs", "next_page_token", "total_count", "choice_count", "unsure_count")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHOICE_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNSURE_COUNT_FIELD_NUMBER: _ClassVar[int]
    pairs: _containers.RepeatedCompositeFieldContainer[ShotPair]
    next_page_token: str
    total_count: int
    choice_count: int
    unsure_count: int
    def __init__(self, pairs: _Optional[_Iterable[_Union[ShotPair, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_count: _Optional[int] = ..., choice_count: _Optional[int] = ..., unsure_count: _Optional[int] = ...) -> None: ...

class ShotPair(_message.Message):
    __slots__ = ("left", "right", "left_better_probability")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    LEFT_BETTER_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    left: ImageResult
    right: ImageResult
    left_better_probability: float
    def __init__(self, left: _Optional[_Union[ImageResult, _Mapping]] = ..., right: _Optional[_Union[ImageResult, _Mapping]] = ..., left_better_probability: _Optional[float] = ...) -> None: ...

class ProposeWeightsRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class ProposeWeightsResponse(_message.Message):
    __slots__ = ("proposed_settings", "choice_count", "moment_count", "unsure_count", "missing_count", "min_choice_count", "min_moment_count", "predicted_before_count", "predicted_after_count", "held_out_count", "chance", "fold_count", "is_better", "lines", "profile_description")
    PROPOSED_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CHOICE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MOMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNSURE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISSING_COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_CHOICE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_MOMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_BEFORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_AFTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHANCE_FIELD_NUMBER: _ClassVar[int]
    FOLD_COUNT_FIELD_NUMBER: _ClassVar[int]
    IS_BETTER_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    PROFILE_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    proposed_settings: _containers.RepeatedCompositeFieldContainer[ProposedSetting]
    choice_count: int
    moment_count: int
    unsure_count: int
    missing_count: int
    min_choice_count: int
    min_moment_count: int
    predicted_before_count: int
    predicted_after_count: int
    held_out_count: int
    chance: float
    fold_count: int
    is_better: bool
    lines: _containers.RepeatedScalarFieldContainer[str]
    profile_description: str
    def __init__(self, proposed_settings: _Optional[_Iterable[_Union[ProposedSetting, _Mapping]]] = ..., choice_count: _Optional[int] = ..., moment_count: _Optional[int] = ..., unsure_count: _Optional[int] = ..., missing_count: _Optional[int] = ..., min_choice_count: _Optional[int] = ..., min_moment_count: _Optional[int] = ..., predicted_before_count: _Optional[int] = ..., predicted_after_count: _Optional[int] = ..., held_out_count: _Optional[int] = ..., chance: _Optional[float] = ..., fold_count: _Optional[int] = ..., is_better: bool = ..., lines: _Optional[_Iterable[str]] = ..., profile_description: _Optional[str] = ...) -> None: ...

class KeepProfileRequest(_message.Message):
    __slots__ = ("name", "base_profile", "description", "config_overrides", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BASE_PROFILE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    base_profile: str
    description: str
    config_overrides: _struct_pb2.Struct
    request_id: str
    def __init__(self, name: _Optional[str] = ..., base_profile: _Optional[str] = ..., description: _Optional[str] = ..., config_overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class KeepProfileResponse(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class SetDecisionRequest(_message.Message):
    __slots__ = ("album_id", "path", "decision", "run_id", "request_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    path: str
    decision: Decision
    run_id: str
    request_id: str
    def __init__(self, album_id: _Optional[str] = ..., path: _Optional[str] = ..., decision: _Optional[_Union[Decision, str]] = ..., run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetDecisionResponse(_message.Message):
    __slots__ = ("previous_decision", "changed_images", "entry_id")
    PREVIOUS_DECISION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    previous_decision: Decision
    changed_images: _containers.RepeatedCompositeFieldContainer[ImageResult]
    entry_id: str
    def __init__(self, previous_decision: _Optional[_Union[Decision, str]] = ..., changed_images: _Optional[_Iterable[_Union[ImageResult, _Mapping]]] = ..., entry_id: _Optional[str] = ...) -> None: ...

class AppendDecisionRequest(_message.Message):
    __slots__ = ("album_id", "action", "paths", "target_path", "run_id", "decided_by", "stars", "label", "request_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    STARS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    action: DecisionAction
    paths: _containers.RepeatedScalarFieldContainer[str]
    target_path: str
    run_id: str
    decided_by: str
    stars: int
    label: str
    request_id: str
    def __init__(self, album_id: _Optional[str] = ..., action: _Optional[_Union[DecisionAction, str]] = ..., paths: _Optional[_Iterable[str]] = ..., target_path: _Optional[str] = ..., run_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., stars: _Optional[int] = ..., label: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class AppendDecisionResponse(_message.Message):
    __slots__ = ("entry", "changed_images")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    entry: DecisionEntry
    changed_images: _containers.RepeatedCompositeFieldContainer[ImageResult]
    def __init__(self, entry: _Optional[_Union[DecisionEntry, _Mapping]] = ..., changed_images: _Optional[_Iterable[_Union[ImageResult, _Mapping]]] = ...) -> None: ...

class DecisionEntry(_message.Message):
    __slots__ = ("id", "action", "photos", "target", "undone_id", "create_time", "is_in_force", "decided_by", "stars", "label", "run_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    UNDONE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    STARS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    action: DecisionAction
    photos: _containers.RepeatedCompositeFieldContainer[DecidedPhoto]
    target: DecidedPhoto
    undone_id: str
    create_time: _timestamp_pb2.Timestamp
    is_in_force: bool
    decided_by: str
    stars: int
    label: str
    run_id: str
    def __init__(self, id: _Optional[str] = ..., action: _Optional[_Union[DecisionAction, str]] = ..., photos: _Optional[_Iterable[_Union[DecidedPhoto, _Mapping]]] = ..., target: _Optional[_Union[DecidedPhoto, _Mapping]] = ..., undone_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_in_force: bool = ..., decided_by: _Optional[str] = ..., stars: _Optional[int] = ..., label: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class DecidedPhoto(_message.Message):
    __slots__ = ("content_digest", "path")
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    content_digest: str
    path: str
    def __init__(self, content_digest: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class ListPeopleRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPeopleResponse(_message.Message):
    __slots__ = ("people", "next_page_token", "total_count")
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    people: _containers.RepeatedCompositeFieldContainer[Person]
    next_page_token: str
    total_count: int
    def __init__(self, people: _Optional[_Iterable[_Union[Person, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_count: _Optional[int] = ...) -> None: ...

class Person(_message.Message):
    __slots__ = ("id", "name", "is_ignored", "face_count", "photo_count", "cover", "best_face", "is_important")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_IGNORED_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PHOTO_COUNT_FIELD_NUMBER: _ClassVar[int]
    COVER_FIELD_NUMBER: _ClassVar[int]
    BEST_FACE_FIELD_NUMBER: _ClassVar[int]
    IS_IMPORTANT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    is_ignored: bool
    face_count: int
    photo_count: int
    cover: PersonFace
    best_face: PersonFace
    is_important: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., is_ignored: bool = ..., face_count: _Optional[int] = ..., photo_count: _Optional[int] = ..., cover: _Optional[_Union[PersonFace, _Mapping]] = ..., best_face: _Optional[_Union[PersonFace, _Mapping]] = ..., is_important: bool = ...) -> None: ...

class ListPeopleQuestionsRequest(_message.Message):
    __slots__ = ("page_size",)
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    def __init__(self, page_size: _Optional[int] = ...) -> None: ...

class ListPeopleQuestionsResponse(_message.Message):
    __slots__ = ("questions",)
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[PeopleQuestion]
    def __init__(self, questions: _Optional[_Iterable[_Union[PeopleQuestion, _Mapping]]] = ...) -> None: ...

class PeopleQuestion(_message.Message):
    __slots__ = ("face", "person", "other_person_id", "similarity", "face_count")
    FACE_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    OTHER_PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    face: PersonFace
    person: Person
    other_person_id: str
    similarity: float
    face_count: int
    def __init__(self, face: _Optional[_Union[PersonFace, _Mapping]] = ..., person: _Optional[_Union[Person, _Mapping]] = ..., other_person_id: _Optional[str] = ..., similarity: _Optional[float] = ..., face_count: _Optional[int] = ...) -> None: ...

class ListPersonFacesRequest(_message.Message):
    __slots__ = ("person_id", "page_size", "page_token")
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    person_id: str
    page_size: int
    page_token: str
    def __init__(self, person_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPersonFacesResponse(_message.Message):
    __slots__ = ("faces", "next_page_token", "total_count")
    FACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    faces: _containers.RepeatedCompositeFieldContainer[PersonFace]
    next_page_token: str
    total_count: int
    def __init__(self, faces: _Optional[_Iterable[_Union[PersonFace, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_count: _Optional[int] = ...) -> None: ...

class FacePlace(_message.Message):
    __slots__ = ("content_digest", "box")
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    content_digest: str
    box: _image_pb2.BoundingBox
    def __init__(self, content_digest: _Optional[str] = ..., box: _Optional[_Union[_image_pb2.BoundingBox, _Mapping]] = ...) -> None: ...

class PersonFace(_message.Message):
    __slots__ = ("place", "similarity", "run_id", "path", "album_id", "is_selected", "composite_score", "photo_face_count")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    IS_SELECTED_FIELD_NUMBER: _ClassVar[int]
    COMPOSITE_SCORE_FIELD_NUMBER: _ClassVar[int]
    PHOTO_FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    place: FacePlace
    similarity: float
    run_id: str
    path: str
    album_id: str
    is_selected: bool
    composite_score: float
    photo_face_count: int
    def __init__(self, place: _Optional[_Union[FacePlace, _Mapping]] = ..., similarity: _Optional[float] = ..., run_id: _Optional[str] = ..., path: _Optional[str] = ..., album_id: _Optional[str] = ..., is_selected: bool = ..., composite_score: _Optional[float] = ..., photo_face_count: _Optional[int] = ...) -> None: ...

class CorrectPeopleRequest(_message.Message):
    __slots__ = ("action", "person_id", "other_person_id", "faces", "name", "decided_by", "request_id")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    OTHER_PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    action: PeopleAction
    person_id: str
    other_person_id: str
    faces: _containers.RepeatedCompositeFieldContainer[FacePlace]
    name: str
    decided_by: str
    request_id: str
    def __init__(self, action: _Optional[_Union[PeopleAction, str]] = ..., person_id: _Optional[str] = ..., other_person_id: _Optional[str] = ..., faces: _Optional[_Iterable[_Union[FacePlace, _Mapping]]] = ..., name: _Optional[str] = ..., decided_by: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CorrectPeopleResponse(_message.Message):
    __slots__ = ("entry_id", "person_id")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    person_id: str
    def __init__(self, entry_id: _Optional[str] = ..., person_id: _Optional[str] = ...) -> None: ...

class UndoPeopleCorrectionRequest(_message.Message):
    __slots__ = ("entry_id", "decided_by", "request_id")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    decided_by: str
    request_id: str
    def __init__(self, entry_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UndoPeopleCorrectionResponse(_message.Message):
    __slots__ = ("entry_id", "undone_id")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    UNDONE_ID_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    undone_id: str
    def __init__(self, entry_id: _Optional[str] = ..., undone_id: _Optional[str] = ...) -> None: ...

class ErasePeopleRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class ErasePeopleResponse(_message.Message):
    __slots__ = ("photo_count",)
    PHOTO_COUNT_FIELD_NUMBER: _ClassVar[int]
    photo_count: int
    def __init__(self, photo_count: _Optional[int] = ...) -> None: ...

class UndoDecisionRequest(_message.Message):
    __slots__ = ("album_id", "entry_id", "run_id", "decided_by", "request_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    entry_id: str
    run_id: str
    decided_by: str
    request_id: str
    def __init__(self, album_id: _Optional[str] = ..., entry_id: _Optional[str] = ..., run_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UndoDecisionResponse(_message.Message):
    __slots__ = ("entry", "undone_entry", "changed_images")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    UNDONE_ENTRY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    entry: DecisionEntry
    undone_entry: DecisionEntry
    changed_images: _containers.RepeatedCompositeFieldContainer[ImageResult]
    def __init__(self, entry: _Optional[_Union[DecisionEntry, _Mapping]] = ..., undone_entry: _Optional[_Union[DecisionEntry, _Mapping]] = ..., changed_images: _Optional[_Iterable[_Union[ImageResult, _Mapping]]] = ...) -> None: ...

class ListDecisionsRequest(_message.Message):
    __slots__ = ("album_id", "page_size", "page_token")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    page_size: int
    page_token: str
    def __init__(self, album_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDecisionsResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "total_count")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[DecisionEntry]
    next_page_token: str
    total_count: int
    def __init__(self, entries: _Optional[_Iterable[_Union[DecisionEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_count: _Optional[int] = ...) -> None: ...

class WatchDecisionsRequest(_message.Message):
    __slots__ = ("album_id", "known_entry_count", "run_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_ENTRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    known_entry_count: int
    run_id: str
    def __init__(self, album_id: _Optional[str] = ..., known_entry_count: _Optional[int] = ..., run_id: _Optional[str] = ...) -> None: ...

class WatchDecisionsResponse(_message.Message):
    __slots__ = ("entries", "entry_count", "images")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ENTRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[DecisionEntry]
    entry_count: int
    images: _containers.RepeatedCompositeFieldContainer[ImageResult]
    def __init__(self, entries: _Optional[_Iterable[_Union[DecisionEntry, _Mapping]]] = ..., entry_count: _Optional[int] = ..., images: _Optional[_Iterable[_Union[ImageResult, _Mapping]]] = ...) -> None: ...

class ImportDecisionsRequest(_message.Message):
    __slots__ = ("album_id", "entries", "run_id", "request_id")
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    album_id: str
    entries: _containers.RepeatedCompositeFieldContainer[DecisionEntry]
    run_id: str
    request_id: str
    def __init__(self, album_id: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[DecisionEntry, _Mapping]]] = ..., run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportDecisionsResponse(_message.Message):
    __slots__ = ("added_count", "changed_images")
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    added_count: int
    changed_images: _containers.RepeatedCompositeFieldContainer[ImageResult]
    def __init__(self, added_count: _Optional[int] = ..., changed_images: _Optional[_Iterable[_Union[ImageResult, _Mapping]]] = ...) -> None: ...

class CompareImagesRequest(_message.Message):
    __slots__ = ("run_id", "first_path", "second_path")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_PATH_FIELD_NUMBER: _ClassVar[int]
    SECOND_PATH_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    first_path: str
    second_path: str
    def __init__(self, run_id: _Optional[str] = ..., first_path: _Optional[str] = ..., second_path: _Optional[str] = ...) -> None: ...

class CompareImagesResponse(_message.Message):
    __slots__ = ("first_better_probability",)
    FIRST_BETTER_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    first_better_probability: float
    def __init__(self, first_better_probability: _Optional[float] = ...) -> None: ...

class ExportRunRequest(_message.Message):
    __slots__ = ("run_id", "output_folder", "copy_selected", "write_xmp", "write_parquet", "selected_transfer", "write_xmp_beside_photos", "overwrite_foreign_files", "by_person", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FOLDER_FIELD_NUMBER: _ClassVar[int]
    COPY_SELECTED_FIELD_NUMBER: _ClassVar[int]
    WRITE_XMP_FIELD_NUMBER: _ClassVar[int]
    WRITE_PARQUET_FIELD_NUMBER: _ClassVar[int]
    SELECTED_TRANSFER_FIELD_NUMBER: _ClassVar[int]
    WRITE_XMP_BESIDE_PHOTOS_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FOREIGN_FILES_FIELD_NUMBER: _ClassVar[int]
    BY_PERSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    output_folder: str
    copy_selected: bool
    write_xmp: bool
    write_parquet: bool
    selected_transfer: FileTransfer
    write_xmp_beside_photos: bool
    overwrite_foreign_files: bool
    by_person: bool
    request_id: str
    def __init__(self, run_id: _Optional[str] = ..., output_folder: _Optional[str] = ..., copy_selected: bool = ..., write_xmp: bool = ..., write_parquet: bool = ..., selected_transfer: _Optional[_Union[FileTransfer, str]] = ..., write_xmp_beside_photos: bool = ..., overwrite_foreign_files: bool = ..., by_person: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class ExportRunResponse(_message.Message):
    __slots__ = ("paths", "copied_count", "warnings", "warning_count", "person_count")
    PATHS_FIELD_NUMBER: _ClassVar[int]
    COPIED_COUNT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    WARNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    PERSON_COUNT_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    copied_count: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    warning_count: int
    person_count: int
    def __init__(self, paths: _Optional[_Iterable[str]] = ..., copied_count: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ..., warning_count: _Optional[int] = ..., person_count: _Optional[int] = ...) -> None: ...

class DownloadRunRequest(_message.Message):
    __slots__ = ("run_id", "format")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    format: DownloadFormat
    def __init__(self, run_id: _Optional[str] = ..., format: _Optional[_Union[DownloadFormat, str]] = ...) -> None: ...

class DownloadRunResponse(_message.Message):
    __slots__ = ("filename", "chunk")
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    filename: str
    chunk: bytes
    def __init__(self, filename: _Optional[str] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class Album(_message.Message):
    __slots__ = ("id", "display_name", "folder", "create_time", "folders")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FOLDERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    folder: str
    create_time: _timestamp_pb2.Timestamp
    folders: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., folder: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., folders: _Optional[_Iterable[str]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("id", "album_id", "state", "revision", "stages", "error", "create_time", "start_time", "end_time", "profile", "config", "models", "versions", "summary", "source_run_id", "decisions", "corrections", "notes", "reference_run_id", "persons")
    class ModelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _model_pb2.ModelInfo
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_model_pb2.ModelInfo, _Mapping]] = ...) -> None: ...
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DecisionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Decision
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Decision, str]] = ...) -> None: ...
    class PersonsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: RunPerson
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[RunPerson, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    ALBUM_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    CORRECTIONS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    album_id: str
    state: RunState
    revision: int
    stages: _containers.RepeatedCompositeFieldContainer[StageProgress]
    error: str
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    profile: str
    config: _struct_pb2.Struct
    models: _containers.MessageMap[str, _model_pb2.ModelInfo]
    versions: _containers.ScalarMap[str, str]
    summary: RunSummary
    source_run_id: str
    decisions: _containers.ScalarMap[str, Decision]
    corrections: _containers.RepeatedCompositeFieldContainer[Correction]
    notes: _containers.RepeatedScalarFieldContainer[str]
    reference_run_id: str
    persons: _containers.MessageMap[str, RunPerson]
    def __init__(self, id: _Optional[str] = ..., album_id: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., revision: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[StageProgress, _Mapping]]] = ..., error: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., profile: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., models: _Optional[_Mapping[str, _model_pb2.ModelInfo]] = ..., versions: _Optional[_Mapping[str, str]] = ..., summary: _Optional[_Union[RunSummary, _Mapping]] = ..., source_run_id: _Optional[str] = ..., decisions: _Optional[_Mapping[str, Decision]] = ..., corrections: _Optional[_Iterable[_Union[Correction, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., reference_run_id: _Optional[str] = ..., persons: _Optional[_Mapping[str, RunPerson]] = ...) -> None: ...

class Correction(_message.Message):
    __slots__ = ("action", "content_digests", "target_digest")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    TARGET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    action: DecisionAction
    content_digests: _containers.RepeatedScalarFieldContainer[str]
    target_digest: str
    def __init__(self, action: _Optional[_Union[DecisionAction, str]] = ..., content_digests: _Optional[_Iterable[str]] = ..., target_digest: _Optional[str] = ...) -> None: ...

class StageProgress(_message.Message):
    __slots__ = ("stage", "completed_count", "total_count", "failed_count", "cached_count", "elapsed_seconds")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    completed_count: int
    total_count: int
    failed_count: int
    cached_count: int
    elapsed_seconds: float
    def __init__(self, stage: _Optional[str] = ..., completed_count: _Optional[int] = ..., total_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., cached_count: _Optional[int] = ..., elapsed_seconds: _Optional[float] = ...) -> None: ...

class RunSummary(_message.Message):
    __slots__ = ("photo_count", "unreadable_count", "cluster_count", "noise_count", "selected_count", "cached_count", "elapsed_seconds")
    PHOTO_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    NOISE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SELECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    photo_count: int
    unreadable_count: int
    cluster_count: int
    noise_count: int
    selected_count: int
    cached_count: int
    elapsed_seconds: float
    def __init__(self, photo_count: _Optional[int] = ..., unreadable_count: _Optional[int] = ..., cluster_count: _Optional[int] = ..., noise_count: _Optional[int] = ..., selected_count: _Optional[int] = ..., cached_count: _Optional[int] = ..., elapsed_seconds: _Optional[float] = ...) -> None: ...

class ImageResult(_message.Message):
    __slots__ = ("path", "filename", "content_digest", "status", "error", "width_px", "height_px", "capture_time", "size_bytes", "format", "quality", "faces", "pose_score", "eyes_score", "smile_score", "cluster_id", "person_penalty", "composite_score", "is_selected", "reason_code", "reason", "lost_to_path", "damage", "decision", "machine_cluster_id", "camera", "companion_paths", "face_faults", "face_caption", "capture_time_source", "capture_utc_offset", "camera_facts", "exposure_caption", "megapixels", "owner_mark", "version_of_path", "set_kind", "set_id", "set_place", "set_size", "content_class", "altered_from_path", "alterations", "user_mark", "face_signs", "person_names", "person_ids", "judged_faces", "whole_moment_id", "moment_people", "brought_in_for")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    POSE_SCORE_FIELD_NUMBER: _ClassVar[int]
    EYES_SCORE_FIELD_NUMBER: _ClassVar[int]
    SMILE_SCORE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_PENALTY_FIELD_NUMBER: _ClassVar[int]
    COMPOSITE_SCORE_FIELD_NUMBER: _ClassVar[int]
    IS_SELECTED_FIELD_NUMBER: _ClassVar[int]
    REASON_CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOST_TO_PATH_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    MACHINE_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    COMPANION_PATHS_FIELD_NUMBER: _ClassVar[int]
    FACE_FAULTS_FIELD_NUMBER: _ClassVar[int]
    FACE_CAPTION_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_SOURCE_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_UTC_OFFSET_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FACTS_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_CAPTION_FIELD_NUMBER: _ClassVar[int]
    MEGAPIXELS_FIELD_NUMBER: _ClassVar[int]
    OWNER_MARK_FIELD_NUMBER: _ClassVar[int]
    VERSION_OF_PATH_FIELD_NUMBER: _ClassVar[int]
    SET_KIND_FIELD_NUMBER: _ClassVar[int]
    SET_ID_FIELD_NUMBER: _ClassVar[int]
    SET_PLACE_FIELD_NUMBER: _ClassVar[int]
    SET_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_CLASS_FIELD_NUMBER: _ClassVar[int]
    ALTERED_FROM_PATH_FIELD_NUMBER: _ClassVar[int]
    ALTERATIONS_FIELD_NUMBER: _ClassVar[int]
    USER_MARK_FIELD_NUMBER: _ClassVar[int]
    FACE_SIGNS_FIELD_NUMBER: _ClassVar[int]
    PERSON_NAMES_FIELD_NUMBER: _ClassVar[int]
    PERSON_IDS_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FACES_FIELD_NUMBER: _ClassVar[int]
    WHOLE_MOMENT_ID_FIELD_NUMBER: _ClassVar[int]
    MOMENT_PEOPLE_FIELD_NUMBER: _ClassVar[int]
    BROUGHT_IN_FOR_FIELD_NUMBER: _ClassVar[int]
    path: str
    filename: str
    content_digest: str
    status: ImageStatus
    error: str
    width_px: int
    height_px: int
    capture_time: str
    size_bytes: int
    format: str
    quality: _quality_pb2.QualityScores
    faces: _containers.RepeatedCompositeFieldContainer[_face_pb2.Face]
    pose_score: float
    eyes_score: float
    smile_score: float
    cluster_id: int
    person_penalty: float
    composite_score: float
    is_selected: bool
    reason_code: ReasonCode
    reason: str
    lost_to_path: str
    damage: str
    decision: Decision
    machine_cluster_id: int
    camera: str
    companion_paths: _containers.RepeatedScalarFieldContainer[str]
    face_faults: _containers.RepeatedScalarFieldContainer[FaceFault]
    face_caption: str
    capture_time_source: str
    capture_utc_offset: str
    camera_facts: CameraFacts
    exposure_caption: str
    megapixels: float
    owner_mark: OwnerMark
    version_of_path: str
    set_kind: str
    set_id: int
    set_place: int
    set_size: int
    content_class: ContentClass
    altered_from_path: str
    alterations: _containers.RepeatedScalarFieldContainer[str]
    user_mark: UserMark
    face_signs: _containers.RepeatedCompositeFieldContainer[FaceSigns]
    person_names: _containers.RepeatedScalarFieldContainer[str]
    person_ids: _containers.RepeatedScalarFieldContainer[str]
    judged_faces: _containers.RepeatedScalarFieldContainer[int]
    whole_moment_id: int
    moment_people: str
    brought_in_for: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, path: _Optional[str] = ..., filename: _Optional[str] = ..., content_digest: _Optional[str] = ..., status: _Optional[_Union[ImageStatus, str]] = ..., error: _Optional[str] = ..., width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., capture_time: _Optional[str] = ..., size_bytes: _Optional[int] = ..., format: _Optional[str] = ..., quality: _Optional[_Union[_quality_pb2.QualityScores, _Mapping]] = ..., faces: _Optional[_Iterable[_Union[_face_pb2.Face, _Mapping]]] = ..., pose_score: _Optional[float] = ..., eyes_score: _Optional[float] = ..., smile_score: _Optional[float] = ..., cluster_id: _Optional[int] = ..., person_penalty: _Optional[float] = ..., composite_score: _Optional[float] = ..., is_selected: bool = ..., reason_code: _Optional[_Union[ReasonCode, str]] = ..., reason: _Optional[str] = ..., lost_to_path: _Optional[str] = ..., damage: _Optional[str] = ..., decision: _Optional[_Union[Decision, str]] = ..., machine_cluster_id: _Optional[int] = ..., camera: _Optional[str] = ..., companion_paths: _Optional[_Iterable[str]] = ..., face_faults: _Optional[_Iterable[_Union[FaceFault, str]]] = ..., face_caption: _Optional[str] = ..., capture_time_source: _Optional[str] = ..., capture_utc_offset: _Optional[str] = ..., camera_facts: _Optional[_Union[CameraFacts, _Mapping]] = ..., exposure_caption: _Optional[str] = ..., megapixels: _Optional[float] = ..., owner_mark: _Optional[_Union[OwnerMark, _Mapping]] = ..., version_of_path: _Optional[str] = ..., set_kind: _Optional[str] = ..., set_id: _Optional[int] = ..., set_place: _Optional[int] = ..., set_size: _Optional[int] = ..., content_class: _Optional[_Union[ContentClass, str]] = ..., altered_from_path: _Optional[str] = ..., alterations: _Optional[_Iterable[str]] = ..., user_mark: _Optional[_Union[UserMark, _Mapping]] = ..., face_signs: _Optional[_Iterable[_Union[FaceSigns, _Mapping]]] = ..., person_names: _Optional[_Iterable[str]] = ..., person_ids: _Optional[_Iterable[str]] = ..., judged_faces: _Optional[_Iterable[int]] = ..., whole_moment_id: _Optional[int] = ..., moment_people: _Optional[str] = ..., brought_in_for: _Optional[_Iterable[str]] = ...) -> None: ...

class FaceSigns(_message.Message):
    __slots__ = ("eyes", "smile", "is_prominent", "person_id", "person_name", "is_important")
    EYES_FIELD_NUMBER: _ClassVar[int]
    SMILE_FIELD_NUMBER: _ClassVar[int]
    IS_PROMINENT_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_NAME_FIELD_NUMBER: _ClassVar[int]
    IS_IMPORTANT_FIELD_NUMBER: _ClassVar[int]
    eyes: str
    smile: str
    is_prominent: bool
    person_id: str
    person_name: str
    is_important: bool
    def __init__(self, eyes: _Optional[str] = ..., smile: _Optional[str] = ..., is_prominent: bool = ..., person_id: _Optional[str] = ..., person_name: _Optional[str] = ..., is_important: bool = ...) -> None: ...

class RunPerson(_message.Message):
    __slots__ = ("name", "is_ignored", "is_important")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_IGNORED_FIELD_NUMBER: _ClassVar[int]
    IS_IMPORTANT_FIELD_NUMBER: _ClassVar[int]
    name: str
    is_ignored: bool
    is_important: bool
    def __init__(self, name: _Optional[str] = ..., is_ignored: bool = ..., is_important: bool = ...) -> None: ...

class UserMark(_message.Message):
    __slots__ = ("stars", "label")
    STARS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    stars: int
    label: str
    def __init__(self, stars: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class CameraFacts(_message.Message):
    __slots__ = ("make", "model", "lens", "focal_length_mm", "focal_length_35mm", "exposure_time_seconds", "f_number", "iso", "exposure_bias_ev", "exposure_mode", "is_flash_fired", "has_gps", "burst_id", "sequence_number", "drive_mode", "bracket_mode", "has_video")
    MAKE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LENS_FIELD_NUMBER: _ClassVar[int]
    FOCAL_LENGTH_MM_FIELD_NUMBER: _ClassVar[int]
    FOCAL_LENGTH_35MM_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_TIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    F_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ISO_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_BIAS_EV_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_MODE_FIELD_NUMBER: _ClassVar[int]
    IS_FLASH_FIRED_FIELD_NUMBER: _ClassVar[int]
    HAS_GPS_FIELD_NUMBER: _ClassVar[int]
    BURST_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DRIVE_MODE_FIELD_NUMBER: _ClassVar[int]
    BRACKET_MODE_FIELD_NUMBER: _ClassVar[int]
    HAS_VIDEO_FIELD_NUMBER: _ClassVar[int]
    make: str
    model: str
    lens: str
    focal_length_mm: float
    focal_length_35mm: float
    exposure_time_seconds: float
    f_number: float
    iso: int
    exposure_bias_ev: float
    exposure_mode: str
    is_flash_fired: bool
    has_gps: bool
    burst_id: str
    sequence_number: int
    drive_mode: str
    bracket_mode: str
    has_video: bool
    def __init__(self, make: _Optional[str] = ..., model: _Optional[str] = ..., lens: _Optional[str] = ..., focal_length_mm: _Optional[float] = ..., focal_length_35mm: _Optional[float] = ..., exposure_time_seconds: _Optional[float] = ..., f_number: _Optional[float] = ..., iso: _Optional[int] = ..., exposure_bias_ev: _Optional[float] = ..., exposure_mode: _Optional[str] = ..., is_flash_fired: bool = ..., has_gps: bool = ..., burst_id: _Optional[str] = ..., sequence_number: _Optional[int] = ..., drive_mode: _Optional[str] = ..., bracket_mode: _Optional[str] = ..., has_video: bool = ...) -> None: ...

class OwnerMark(_message.Message):
    __slots__ = ("rating", "pick", "label", "source")
    RATING_FIELD_NUMBER: _ClassVar[int]
    PICK_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    rating: int
    pick: str
    label: str
    source: str
    def __init__(self, rating: _Optional[int] = ..., pick: _Optional[str] = ..., label: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("cluster_id", "image_count", "selected_count", "best_path")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SELECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    BEST_PATH_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    image_count: int
    selected_count: int
    best_path: str
    def __init__(self, cluster_id: _Optional[int] = ..., image_count: _Optional[int] = ..., selected_count: _Optional[int] = ..., best_path: _Optional[str] = ...) -> None: ...
