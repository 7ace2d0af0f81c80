"""Access: TLS, client certificates, tokens and their scopes, limits."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import io
import logging
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot_client import Addresses, AsyncClient, Security
from grpc_health.v1 import health_pb2, health_pb2_grpc
from inference import open_inference_pb2, open_inference_pb2_grpc
from PIL import Image

from orchestrator.cli.parts import MODEL_SERVICES
from services.common.config.sections import SharedSettings, load_section, parse_arguments
from services.common.errors import ConfigError, UnauthenticatedError
from services.common.rpc.auth import (
    _FOREIGN,
    authorize_by,
    new_token,
    required_scope,
    token_digest,
)
from services.common.rpc.channels import ClientOptions, call_metadata, client_options, open_channel
from services.common.rpc.server import server_options
from tests.conftest import ROOT
from tests.contract.servers import SHARED, pixels_message, running
from tests.waiting import LIMIT_S

QUALITY = "bestshot.quality.v1.QualityService"
Setter = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Setter:
    """Sets keys of `shared` through the environment, as users do."""

    def set_keys(**keys: object) -> None:
        for key, value in keys.items():
            monkeypatch.setenv(f"BESTSHOT_SERVICES__SHARED__{key.upper()}", str(value))

    return set_keys


def shared() -> SharedSettings:
    return load_section(ROOT / "configs", "builtin", "shared", SharedSettings)


@dataclasses.dataclass(frozen=True)
class Files:
    """A part's certificate, key and authority."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def keys(self) -> dict[str, Path]:
        return {
            "tls__ca_file": self.ca,
            "tls__certificate_file": self.certificate,
            "tls__key_file": self.key,
        }


def write_files(folder: Path, authority: trustme.CA) -> Files:
    folder.mkdir(exist_ok=True)
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = Files(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(str(files.ca))
    issued.private_key_pem.write_to_path(str(files.key))
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_files(tmp_path / "tls", trustme.CA())


async def score(address: str, options: ClientOptions) -> Any:
    """Makes one call with our own client."""
    pixels = pixels_message(np.zeros((64, 64, 3), np.uint8))
    async with open_channel(address, QUALITY, options) as channel:
        return await quality_pb2_grpc.QualityServiceStub(channel).Score(
            quality_pb2.ScoreRequest(images=[pixels]),
            timeout=LIMIT_S,
            metadata=call_metadata(options),
        )


async def failure(address: str, options: ClientOptions) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await score(address, options)
    return caught.value.code(), caught.value.details() or ""


async def test_mutual_tls_accepts_only_clients_with_a_certificate(
    files: Files, tmp_path: Path, configure: Setter
) -> None:
    configure(**files.keys, tls__require_client_certificate=True)
    stranger = write_files(tmp_path / "stranger", trustme.CA())
    plain = client_options(SHARED)
    ca = files.ca.read_bytes()
    async with running("quality") as service:
        address = service.server.address
        assert (await score(address, client_options(shared()))).results[0].HasField("scores")
        without = dataclasses.replace(plain, credentials=grpc.ssl_channel_credentials(ca))
        other_pair = (stranger.key.read_bytes(), stranger.certificate.read_bytes())
        by_stranger = dataclasses.replace(
            plain, credentials=grpc.ssl_channel_credentials(ca, *other_pair)
        )
        for options in (plain, without, by_stranger):
            code, _ = await failure(address, options)
            assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_server_certificate_from_another_authority_is_not_trusted(
    files: Files, tmp_path: Path, configure: Setter
) -> None:
    stranger = write_files(tmp_path / "stranger", trustme.CA())
    configure(**stranger.keys)
    async with running("quality") as service:
        configure(tls__ca_file=files.ca)
        code, details = await failure(service.server.address, client_options(shared()))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "CERTIFICATE_VERIFY_FAILED" in details


async def test_a_renewed_certificate_applies_from_the_next_connection(
    tmp_path: Path, configure: Setter
) -> None:
    authority = trustme.CA()
    files = write_files(tmp_path / "tls", authority)
    configure(**files.keys)

    async def shown(address: str) -> str:
        host, _, port = address.rpartition(":")
        return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))

    async with running("quality") as service:
        first = await shown(service.server.address)
        files.certificate.write_text("half written")
        assert await shown(service.server.address) == first
        write_files(tmp_path / "tls", authority)
        second = await shown(service.server.address)
        assert second != first
        assert second in files.certificate.read_text().replace("\r", "")
        assert (await score(service.server.address, client_options(shared()))).results


@pytest.fixture
def tokens(tmp_path: Path, configure: Setter) -> dict[str, str]:
    """A token for each scope, accepted by the servers in this test."""
    made = {scope: new_token() for scope in ("read", "run", "admin")}
    path = tmp_path / "tokens.yaml"
    lines = [f"  {s}-er: {{sha256: {token_digest(t)}, scope: {s}}}" for s, t in made.items()]
    path.write_text("\n".join(["tokens:", *lines]))
    configure(tokens_file=path)
    return made


async def test_a_token_allows_only_calls_within_its_scope(
    tokens: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plain = client_options(SHARED)
    async with running("quality") as service:
        address = service.server.address
        for scope in ("run", "admin"):
            answer = await score(address, dataclasses.replace(plain, token=tokens[scope]))
            assert answer.results
        code, details = await failure(address, dataclasses.replace(plain, token=tokens["read"]))
        assert (code, "'run'" in details) == (grpc.StatusCode.PERMISSION_DENIED, True)
        for token, hint in (("", "Bearer"), ("wrong", "not known to this server")):
            code, details = await failure(address, dataclasses.replace(plain, token=token))
            assert code is grpc.StatusCode.UNAUTHENTICATED
            assert hint in details
        info = await quality_pb2_grpc.QualityServiceStub(service.channel).GetModelInfo(
            quality_pb2.GetModelInfoRequest(),
            metadata=(("authorization", f"Bearer {tokens['read']}"),),
        )
        assert info.model.digest
    text = caplog.text + "".join(str(record.args) for record in caplog.records)
    assert not any(token in text for token in tokens.values())


def test_tokens_are_read_again_when_their_file_changes_and_may_expire(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.yaml"
    method = f"/{QUALITY}/GetModelInfo"

    def write(name: str, secret: str, more: str = "") -> None:
        entry = f"{{sha256: {token_digest(secret)}, scope: read{more}}}"
        path.write_text(f"tokens: {{{name}: {entry}}}")

    def ask(secret: str) -> str:
        return authorize(method, [f"Bearer {secret}"])

    write("old", "first")
    authorize = authorize_by(path)
    assert ask("first") == "old"
    write("new", "second")
    assert ask("second") == "new"
    with pytest.raises(UnauthenticatedError, match="not known"):
        ask("first")
    for broken in ("tokens: {", ""):
        path.write_text(broken)
        caplog.clear()
        assert [ask("second"), ask("second")] == ["new", "new"]
        assert [record.levelname for record in caplog.records] == ["ERROR"]
    path.unlink()
    assert ask("second") == "new"
    for expires in ("2020-01-01", "2020-01-01 10:00:00", "'2020-01-01T10:00:00+02:00'"):
        write("late", "third", f", expires: {expires}")
        with pytest.raises(UnauthenticatedError, match="'late' has expired"):
            ask("third")
    write("early", "third", ", expires: 2999-12-31T10:00:00Z")
    assert ask("third") == "early"


def test_a_new_token_in_a_callers_file_is_sent_at_once(tmp_path: Path, configure: Setter) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    configure(token_file=path)
    options = client_options(shared())
    assert ("authorization", "Bearer first") in call_metadata(options)
    path.write_text("the second")
    assert ("authorization", "Bearer the second") in call_metadata(options)


async def test_one_authorization_header_is_accepted_and_its_scheme_is_case_insensitive(
    tokens: dict[str, str],
) -> None:
    good, bad = f"Bearer {tokens['read']}", "Bearer wrong"
    async with running("quality") as service:
        stub = quality_pb2_grpc.QualityServiceStub(service.channel)

        async def ask(*headers: str) -> Any:
            metadata = tuple(("authorization", header) for header in headers)
            return await stub.GetModelInfo(quality_pb2.GetModelInfoRequest(), metadata=metadata)

        assert (await ask(good.replace("Bearer", "bearer"))).model.digest
        for headers in ((bad, good), (good, bad), (good, good)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(*headers)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "authorization headers; send one" in (caught.value.details() or "")


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/run/a.sock", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("dns:///orchestrator:1", False),
        ("dns:///localhost:1", True),
        ("10.0.0.1:1", False),
        ("example.org", False),
        ("localhost.example.org:1", False),
    ],
)
async def test_a_token_leaves_the_machine_only_encrypted_or_if_allowed(
    address: str, is_local: bool
) -> None:
    client = Security("secret")
    options = dataclasses.replace(client_options(SHARED), token="secret")
    if is_local:
        client.check(address)
    else:
        with pytest.raises(ValueError, match="unencrypted"):
            client.check(address)
        with pytest.raises(ConfigError, match=r"shared\.allow_plaintext_token"):
            open_channel(address, QUALITY, options)
        client = Security("secret", allow_plaintext_token=True)
        options = dataclasses.replace(options, allow_plaintext_token=True)
    client.check(address)
    Security("secret", tls=True).check(address)
    await open_channel(address, QUALITY, options).close()


async def test_ca_file_system_trusts_the_systems_roots(
    files: Files, configure: Setter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture = draw_jpeg()
    configure(**files.keys)
    async with running("quality") as service:
        configure(tls__ca_file="system")
        where = Addresses(quality=service.server.address)
        monkeypatch.setenv("SSL_CERT_FILE", str(files.ca))  # the system's roots
        assert (await score(service.server.address, client_options(shared()))).results
        async with AsyncClient(where, Security(tls=True)) as client:
            assert len(await client.score([picture])) == 1
        monkeypatch.setenv(
            "SSL_CERT_FILE", str(write_files(tmp_path / "stranger", trustme.CA()).ca)
        )
        code, _ = await failure(service.server.address, client_options(shared()))
        assert code is grpc.StatusCode.UNAVAILABLE


def draw_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "JPEG")
    return buffer.getvalue()


async def test_open_protocol_probes_need_no_token_but_inference_does(
    tokens: dict[str, str],
) -> None:
    async with running("quality") as service:
        health = health_pb2_grpc.HealthStub(service.channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=QUALITY))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(service.channel)
        assert (await stub.ServerReady(open_inference_pb2.ServerReadyRequest())).ready
        for call, request in (
            (stub.ServerMetadata, open_inference_pb2.ServerMetadataRequest()),
            (stub.ModelInfer, open_inference_pb2.ModelInferRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_every_method_declares_its_required_scope() -> None:
    modules = [
        importlib.import_module(f"bestshot.{name}.v1.{name}_pb2")
        for name in (*MODEL_SERVICES, "orchestrator")
    ]
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                options = {field.full_name for field, _ in method.GetOptions().ListFields()}
                assert "bestshot.auth.v1.required_scope" in options, method.full_name
    foreign = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {f"/{foreign.full_name}/{method.name}" for method in foreign.methods} == set(_FOREIGN)
    assert required_scope("/a.b.Unknown/Method") == 3


def test_files_may_be_in_the_home_folder(
    files: Files, tmp_path: Path, configure: Setter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    configure(**{key: f"~/tls/{path.name}" for key, path in files.keys.items()})
    assert server_options(shared(), insecure=False).credentials is not None
    assert client_options(shared()).credentials is not None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tls__certificate_file": "/none"}, "set both certificate_file and key_file"),
        ({"tls__require_client_certificate": True}, "needs certificate_file"),
        ({"tls__ca_file": "/none"}, "ca_file: cannot read /none"),
        ({"tls__certificate_file": "{text}", "tls__key_file": "{text}"}, "not a PEM certificate"),
        ({"tls__ca_file": "{text}"}, "has no PEM certificate"),
        ({"token_file": "/none"}, "token_file: cannot read /none"),
        ({"token_file": "{empty}"}, "first line"),
        ({"token_file": "{umlaut}"}, "must be ASCII"),
        ({"tokens_file": "/none"}, "cannot read /none"),
        ({"tokens_file": "{plain}"}, "tokens.ui.sha256"),
        ({"tokens_file": "{misspelt}"}, "did you mean 'scope'"),
    ],
)
def test_a_wrong_file_is_named(
    keys: dict[str, object], message: str, tmp_path: Path, configure: Setter
) -> None:
    contents = {
        "text": "no certificate",
        "empty": "\n",
        "umlaut": "Schlüssel",
        "plain": "tokens: {ui: {sha256: my-token, scope: run}}",
        "misspelt": "tokens: {ui: {sha256: " + "a" * 64 + ", scop: run}}",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    paths = {name: str(tmp_path / name) for name in contents}
    configure(**{key: str(value).format(**paths) for key, value in keys.items()})
    wrong = shared()
    build = client_options if "token_file" in keys else partial(server_options, insecure=False)
    with pytest.raises(ConfigError, match=message) as caught:
        build(wrong)
    assert "my-token" not in caught.value.message


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
async def test_a_server_listens_beyond_loopback_only_with_authentication(
    address: str, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="allow_plaintext_token"):
        async with running("quality", address=address):
            pass
    monkeypatch.setenv("BESTSHOT_SERVICES__SHARED__ALLOW_PLAINTEXT_TOKEN", "true")
    async with running("quality", address=address):
        pass
    monkeypatch.delenv("BESTSHOT_SERVICES__SHARED__TOKENS_FILE")
    with pytest.raises(ConfigError, match="--insecure"):
        async with running("quality", address=address):
            pass
    async with running("quality", address=address, insecure=True):
        pass


def test_the_command_line_has_the_option_insecure() -> None:
    assert parse_arguments("quality", ["--insecure"]).insecure
    assert not parse_arguments("quality", []).insecure
