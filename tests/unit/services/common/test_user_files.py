"""Hostile settings files result in a configuration or one short error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orchestrator.config import PipelineSettings, file_layers
from services.common.config.layers import layers_of, load, read_yaml
from services.common.config.strict_yaml import quote
from services.common.errors import ConfigError
from services.common.rpc.auth import authorize_by, read_token
from tests.conftest import ROOT
from ui.settings import UiSettings, read_login

BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n".encode()
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MALFORMED = [
    (BOMB, "line 6: the document has more than"),
    (b"min_photos: *a\n", "line 1"),
    (b"a: &a [*a]\n", "line 1: the anchor 'a' contains itself"),
    (b"ok: 1\n? [1, 2]\n: 3\n", "line 2: a key must be a plain value"),
    (b"ok: 1\n? {a: b}\n: 3\n", "line 2: a key must be a plain value"),
    (b"ok: 1\nname: \xff\n", "line 2: the text is not UTF-8"),
    (b"[" * 20_000, "line 1: the document is nested deeper"),
    (b"a: " + b"9" * 6_000, "line 1: an integer must fit"),
    (b"a: 0x" + b"f" * 90, "line 1: an integer must fit"),
    (b'a: "\\0"', "line 1: text must not contain a NUL"),
    (b"a: \0", "invalid YAML in "),
    (b"a: 2026-13-45", "invalid YAML in "),
    (b"a: !!python/object/apply:os.system [ls]", "line 1"),
    (b"a: !!int x", "invalid YAML in "),
    (b"- 1", "must be a mapping of keys to values"),
    (b"#" * 1_000_001, "larger than the limit of 1000000 bytes"),
]


@pytest.mark.parametrize(("content", "message"), MALFORMED, ids=[one for _, one in MALFORMED])
def test_a_malformed_file_causes_a_one_sentence_error(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < len(str(path)) + 400


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings") / "settings.yaml"


SHIPPED = layers_of(ROOT / "configs", "pipeline.yaml", "pipeline", "builtin")
VALUES = ["[1]", "{a: 1}", "*a", "&a [x]", "9" * 5000, ".nan", "1e999", "2026-01-01", "!!set {a}"]
KEYS = ["clustering", "clustering:\n  min_cluster_size", "select_best", "? [a]\n", "<<", "7", "~"]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.builds(
            lambda key, value: f"{key}: {value}".encode(),
            st.sampled_from(KEYS),
            st.sampled_from(VALUES) | st.text(max_size=20),
        ),
    )
)
@example(b"clustering: 'x" + b"y" * 50_000 + b"'")
@hypothesis_settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_result_in_a_configuration_or_one_error(
    settings_file: Path, content: bytes
) -> None:
    settings_file.write_bytes(content)
    message = ""
    try:
        load(PipelineSettings, [*SHIPPED, *file_layers([settings_file], [])])
    except ConfigError as error:
        message = error.message
    assert len(message.encode()) < 10_000


@pytest.mark.parametrize("flag", [f"{'a.' * 50_000}b=1", "a" * 99_999, "a=" + "[" * 20_000])
def test_a_very_long_flag_is_not_echoed(flag: str) -> None:
    with pytest.raises(ConfigError) as caught:
        file_layers([], [flag])
    assert len(caught.value.message) < 1_000


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = {"pipe": tmp_path / "pipe", "folder": tmp_path, "device": Path("/dev/zero")}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    login = UiSettings.model_construct(username="me", password_file=path)
    for read in (read_yaml, read_token, authorize_by, lambda _: read_login(login)):
        with pytest.raises(ConfigError, match="not a regular file"):
            read(path)


def test_quoted_values_are_short() -> None:
    assert quote([1, "a"]) == "[1, 'a']"
    assert "bits" in quote(10**6000)
    assert len(quote([["x" * 10_000] * 100] * 100)) <= 300
