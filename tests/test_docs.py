"""The documents say what is there: links lead somewhere, examples parse, every option is told."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer.main
import yaml

from controlplane.operator.cli import app
from proxy.model.config import Config
from proxy.model.parse import parse_config

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
README = (ROOT / "README.md").read_text()


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose_of(text: str) -> str:
    """The text without its code blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text))


def anchors_of(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fault_of(document: Path, link: str) -> str:
    """Why a link of a document leads nowhere; empty when it leads somewhere or to other sites."""
    if re.match(r"[a-z]+:", link):
        return ""
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists():
        return "there is no such file"
    if ROOT not in target.parents and target != ROOT:
        return "it is outside of the project"
    if anchor and anchor not in anchors_of(target.read_text()):
        return "there is no such heading"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_relative_links_lead_somewhere(document: Path) -> None:
    links = LINK.findall(prose_of(document.read_text()))
    faults = {link: fault for link in links if (fault := fault_of(document, link))}
    assert not faults


def test_a_broken_link_would_be_seen() -> None:
    readme = ROOT / "README.md"
    assert fault_of(readme, "docs/api.md") == ""
    assert fault_of(readme, "docs/nowhere.md") == "there is no such file"
    assert fault_of(readme, "docs/api.md#no-such-heading") == "there is no such heading"
    assert fault_of(readme, "#quick-start") == ""
    assert fault_of(readme, "../elsewhere") != ""


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        current = waiting.pop()
        if current in reached or current.suffix != ".md":
            continue
        reached.add(current)
        links = (link.partition("#")[0] for link in LINK.findall(prose_of(current.read_text())))
        waiting += [(current.parent / link).resolve() for link in links if "://" not in link]
    assert set(DOCUMENTS) - reached == set()


def help_of(module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def operators_options() -> Iterator[tuple[str, str]]:
    """Every (command, long option) of ``splitway`` and its subcommands."""
    waiting = [("splitway", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        for parameter in command.params:
            yield from ((name, option) for option in parameter.opts if option.startswith("--"))
        subcommands = getattr(command, "commands", {})
        waiting += [(f"{name} {sub}", found) for sub, found in subcommands.items()]


@pytest.mark.parametrize(
    ("module", "command"), [("proxy", "splitway-proxy"), ("controlplane", "splitway-control")]
)
def test_every_option_of_the_servers_is_told(module: str, command: str) -> None:
    row = row_of(command)
    options = set(OPTION.findall(help_of(module))) - {"--help"}
    assert options, "the help names no option"
    assert options - set(OPTION.findall(row)) == set()


def test_every_option_of_the_operator_s_command_is_told() -> None:
    asked = [(command, option) for command, option in operators_options() if option != "--help"]
    assert ("splitway weights set", "--if-match") in asked
    untold = [pair for pair in asked if pair[1] not in OPTION.findall(row_of(pair[0]))]
    assert not untold


def row_of(command: str) -> str:
    """The line of the README's table of commands that tells a command's options."""
    told = re.compile(rf"`{re.escape(command)}(?: [A-Z][^`]*)?`")
    for line in README.splitlines():
        if line.startswith("| `") and told.search(line.split("|")[1]):
            return line
    pytest.fail(f"the README's table of commands has no line for {command}")


def blocks_of(text: str, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def configurations() -> list[str]:
    """The YAML blocks of the README that are a proxy's configuration, by their fields."""
    fields = set(Config.__struct_fields__)
    return [body for body in blocks_of(README, "yaml") if set(yaml.safe_load(body)) <= fields]


def test_the_readme_has_its_configurations() -> None:
    assert len(configurations()) == 4


@pytest.mark.parametrize("text", configurations(), ids=["smallest", "example", "actions", "tls"])
def test_the_readme_s_configurations_are_valid(text: str) -> None:
    assert parse_config(text, file="README.md", env={}).services


def test_the_example_shows_every_section() -> None:
    shown = yaml.safe_load(configurations()[1])
    assert set(Config.__struct_fields__) - set(shown) == {"debug_header"}


def test_the_json_blocks_are_json() -> None:
    texts = [document.read_text() for document in DOCUMENTS]
    blocks = [body for text in texts for body in blocks_of(text, "json")]
    assert blocks
    for body in blocks:
        json.loads(body)


def test_the_ecs_excerpt_waits_for_the_drain() -> None:
    (body,) = blocks_of(README, "json")
    containers = {c["name"]: c for c in json.loads(body)["containerDefinitions"]}
    assert containers["splitway"]["stopTimeout"] > msgspec.convert({}, Config).drain.deadline_s


def test_metrics_that_the_readme_names_are_documented() -> None:
    told = (ROOT / "docs" / "metrics.md").read_text()
    names = set(re.findall(r"\bsplitway_[a-z_]+", README)) - {"splitway_id"}
    assert len(names) > 5
    assert {name for name in names if f"`{name.removesuffix('_bucket')}`" not in told} == set()
