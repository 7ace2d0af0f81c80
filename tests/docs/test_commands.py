"""Every command, option and setting that a page names exists."""

from __future__ import annotations

import importlib.util
import itertools
import re
import signal
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from orchestrator.cli.app import app
from orchestrator.cli.commands.diff import EXIT_OTHER_INPUT, EXIT_OTHER_RESULTS
from orchestrator.config import PipelineConfig, file_layers
from services.common.config.layers import environment_layers, leaves, read_yaml
from services.common.errors import EXIT_CONFIG, EXIT_FAILED
from tests.conftest import ROOT
from tests.docs.commands import COMMANDS, PAGES, Command

BESTSHOT = get_command(app)
SETTINGS = {
    ".".join(path)
    for name in ("pipeline", "services")
    for path, _ in leaves(read_yaml(ROOT / "configs" / f"{name}.yaml"))
}
DOCKER_ARGUMENTS = set(
    re.findall(r"^ARG (\w+)", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE)
)
FOREIGN = (
    "cd",
    "createdb",
    "curl",
    "exiftool",
    "export",
    "grep",
    "grpcurl",
    "pg_dump",
    "pg_restore",
)
"""Programs of others, whose arguments are not ours; another test reads the grpcurl calls."""


def parse_bestshot(words: list[str]) -> None:
    """Parses a command line without executing it.

    Raises:
        typer._click.exceptions.UsageError: An option or argument is unknown, missing or wrong.
    """
    context = None
    group = BESTSHOT
    name, rest = "bestshot", words
    while hasattr(group, "commands"):
        if rest and rest[0].startswith("--") and len(rest) == 1:
            return  # --help, --version, --install-completion
        assert rest, "a command is missing"
        name, *rest = rest
        assert name in group.commands, f"no command {name}"
        group = group.commands[name]
    if "--help" not in rest:
        context = group.make_context(name, list(rest), parent=context)
        context.close()


def check_bestshot(command: Command) -> None:
    arguments = command.words[1:]
    parse_bestshot(arguments)
    flags = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
    PipelineConfig(ROOT / "configs", "builtin", file_layers([], flags)).load()


def check_make(command: Command) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = [word for word in command.words[1:] if "=" not in word and not word.startswith("-")]
    assert set(wanted) <= targets
    variables = {word.split("=")[0] for word in command.words[1:] if "=" in word}
    assert all(f"$({name})" in (ROOT / "Makefile").read_text() for name in variables)


def check_pip(command: Command) -> None:
    for word in command.words:
        project = ROOT / word if word.startswith("./") else ROOT
        assert (project / "pyproject.toml").is_file()
        extras = re.match(r"(?:bestshot|\.)\[([\w,]+)\]", word)
        if extras:
            assert set(extras[1].split(",")) <= read_extras()


def check_python(command: Command) -> None:
    words = command.words
    if "-m" in words:
        assert importlib.util.find_spec(words[words.index("-m") + 1]) is not None


def check_docker(command: Command) -> None:
    folder = ROOT / "deploy" / "compose"
    for option, value in zip(command.words, command.words[1:], strict=False):
        if option == "-f":
            assert (ROOT / value).is_file() or (folder / value).is_file(), value
        if option == "--build-arg":
            assert value.split("=")[0] in DOCKER_ARGUMENTS, value
        if option == "--scale":
            services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
            assert value.split("=")[0] in services, value


def check_paths(command: Command) -> None:
    for word in command.words:
        if word.startswith("deploy/"):
            assert (ROOT / word).exists(), word


CHECKS: dict[str, Callable[[Command], None]] = {
    "bestshot": check_bestshot,
    "make": check_make,
    "pip": check_pip,
    "pipx": check_pip,
    "uv": check_pip,
    "python": check_python,
    "docker": check_docker,
    "kubectl": check_paths,
    "helm": check_paths,
    **dict.fromkeys(FOREIGN, lambda command: None),
}


def read_extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_in_the_pages_exists(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in command.variables.items():
        monkeypatch.setenv(name, value)
    environment_layers("PIPELINE")
    environment_layers("SERVICES")
    if not command.words:  # only variables
        return
    program = Path(command.words[0]).name
    assert program in CHECKS, f"{program}: add a check to CHECKS"
    CHECKS[program](command)


def test_the_parser_refuses_what_does_not_exist() -> None:
    from typer._click.exceptions import UsageError

    for words in (
        ["curate"],
        ["curate", "photos", "--ouf", "x"],
        ["export", "--out", "o", "--as", "tiff"],
    ):
        with pytest.raises(UsageError):
            parse_bestshot(words)
    with pytest.raises(AssertionError):
        parse_bestshot(["cull"])


def test_no_page_installs_prereleases_of_other_packages() -> None:
    for page in PAGES:
        assert not re.search(r"--prerelease|pip install [^`\n]*--pre\b", page.read_text()), page


def inline_code() -> Iterator[tuple[str, str]]:
    """Yields every inline code outside blocks, with its page."""
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # names what was there before, too
            continue
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", text):
            yield str(page.relative_to(ROOT)), code


def test_commands_and_options_within_sentences_exist() -> None:
    found = 0
    for page, code in inline_code():
        if not re.match(r"bestshot [a-z]", code):
            continue
        found += 1
        group = BESTSHOT
        words = code.split()[1:]
        while hasattr(group, "commands") and words and words[0] in group.commands:
            group = group.commands[words.pop(0)]
        assert group is not BESTSHOT, f"{page}: {code}"
        options = {option for one in group.params for option in one.opts} | {"--help"}
        for word in re.findall(r"(?<!\S)--[a-z-]+", " ".join(words)):
            assert word in options, f"{page}: {code}"
    assert found > 30


def test_the_page_of_commands_names_every_command() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text()
    assert {f"`bestshot {name}" for name in BESTSHOT.commands} <= set(
        re.findall(r"`bestshot [\w-]+", page)
    )


def test_make_targets_within_sentences_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, code in inline_code():
        if found := re.match(r"make ([a-z-]+)", code):
            assert found[1] in targets, f"{page}: {code}"


def test_settings_within_sentences_exist() -> None:
    areas = {key.split(".")[0] for key in SETTINGS}
    groups = {key.rsplit(".", 1)[0] for key in SETTINGS} | SETTINGS
    dotted = re.compile(rf"({'|'.join(sorted(areas))})(\.[a-z_]+)+")
    files = (".py", ".proto", ".yaml", ".md", ".onnx", ".json")
    found = 0
    for page, code in inline_code():
        name = code.split("=")[0].split(":")[0]
        if not dotted.fullmatch(name) or name.endswith(files):
            continue
        found += 1
        assert any(one == name or one.startswith(f"{name}.") for one in groups), f"{page}: {code}"
    assert found > 30


def test_environment_variables_within_sentences_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    values = read_yaml(ROOT / "configs" / "services.yaml")
    for page, code in inline_code():
        for name in re.findall(r"BESTSHOT_SERVICES__[A-Z_]+", code):
            section, _, key = name.removeprefix("BESTSHOT_SERVICES__").lower().partition("__")
            assert key.split("__")[0] in values[section], f"{page}: {name}"


def test_the_exit_codes_are_listed() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    listed = {
        int(code)
        for cell in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
        for code in cell.split(",")
    }
    interrupted = 128 + signal.SIGINT
    codes = (0, EXIT_FAILED, EXIT_CONFIG, EXIT_OTHER_INPUT, EXIT_OTHER_RESULTS, interrupted)
    assert listed == set(codes)
