"""With mutual TLS and tokens, set up as a user would, everything works as it does without."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
import trustme

from tests.contract.test_security import Files, write_files
from tests.integration.command import BESTSHOT, Curated, bestshot, curate, environment
from tests.integration.up import running_up
from tests.waiting import http_get


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_files(tmp_path / "tls", trustme.CA())


@pytest.fixture
def protected(files: Files, tmp_path: Path) -> dict[str, str]:
    """Settings of all parts, created with the commands in the README."""
    made = subprocess.run(
        [BESTSHOT, "token", "parts", "--scope", "admin", "--days", "2"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(tmp_path / "data"),
    ).stdout.splitlines()
    (tmp_path / "token").write_text(made[1] + "\n")
    (tmp_path / "tokens.yaml").write_text("tokens:\n" + made[-1] + "\n")
    settings = {
        "TOKENS_FILE": tmp_path / "tokens.yaml",
        "TOKEN_FILE": tmp_path / "token",
        "TLS__CERTIFICATE_FILE": files.certificate,
        "TLS__KEY_FILE": files.key,
        "TLS__CA_FILE": files.ca,
        "TLS__REQUIRE_CLIENT_CERTIFICATE": "true",
    }
    return {f"BESTSHOT_SERVICES__SHARED__{key}": str(value) for key, value in settings.items()}


def test_curate_gives_the_same_results_and_logs_no_secrets(
    protected: dict[str, str], curated: Curated, tmp_path: Path
) -> None:
    protected["BESTSHOT_SERVICES__SHARED__LOG_LEVEL"] = "debug"
    found = curate(curated.photos, tmp_path / "out", tmp_path / "data", changes=protected)
    assert found.csv_bytes == curated.csv_bytes
    secret = (tmp_path / "token").read_text().strip()
    logs = "".join(path.read_text() for path in (tmp_path / "out" / "logs").glob("*.log"))
    assert " OK " in logs
    assert secret not in logs + found.text + (tmp_path / "out" / "run.json").read_text()


def test_a_token_with_an_insufficient_scope_is_reported(
    protected: dict[str, str], curated: Curated, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(tokens.read_text().replace("admin", "run"))
    out = tmp_path / "out"
    done = bestshot(
        ["curate", curated.photos, "--out", out], data=tmp_path / "data", changes=protected
    )
    assert done.code == 1
    assert "CreateAlbum needs a token with the scope 'admin'" in done.text


def test_up_serves_the_page_over_https_and_the_page_may_call(
    protected: dict[str, str], files: Files, tmp_path: Path
) -> None:
    with running_up(tmp_path, [tmp_path], changes=protected, is_forked=False) as addresses:
        context = ssl.create_default_context(cafile=str(files.ca))
        page = http_get(f"https://{addresses['ui']}/", verify=context)
        assert page.status_code == 200
        assert "bestshot" in page.text
        with pytest.raises(httpx.HTTPError):
            http_get(f"http://{addresses['ui']}/")
        reports = ["runs", "--orchestrator", addresses["orchestrator"]]
        listed = bestshot(reports, data=tmp_path / "data", changes=protected)
        assert (listed.code, "Selected" in listed.text) == (0, True), listed.text
        names = ("TOKEN_FILE", "TOKENS_FILE")
        tokenless = {key: value for key, value in protected.items() if not key.endswith(names)}
        refused = bestshot(reports, data=tmp_path / "data", changes=tokenless)
        assert refused.code == 1
        assert "requires a token" in refused.text
        assert bestshot(reports, data=tmp_path / "data").code == 1, "without TLS"
