"""README and docs/: every link leads somewhere, every command has the options it is given, and
what is said of containers is what docker/compose.yaml has.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from driftline.cli import cli

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").iterdir())]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Of the headings, as they are made of them where Markdown is shown."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in headings}


def lines(text: str) -> Iterator[str]:
    """The lines in blocks of shell, and what stands as code in the middle of a sentence."""
    for language, block in BLOCK.findall(text):
        if language == "bash":
            yield from (each.strip() for each in block.replace("\\\n", " ").splitlines())
    for said in re.findall(r"`([^`]+)`", BLOCK.sub("", text)):
        yield " ".join(said.split())


def commands(text: str) -> Iterator[str]:
    """Those that are driftline's, also in a container or as a spark-submit."""
    for line in lines(text):
        said = re.sub("^scripts/up exec driver ", "", line).removesuffix("&")
        said = said.removeprefix(".venv/bin/").partition(" > ")[0]
        said = re.sub(r"^scripts/submit (\w+) .*?-- ", r"driftline \1 ", said)
        if said.startswith(("driftline ", "shop ")):
            yield re.sub("^shop", "driftline", said)


def of_containers(text: str) -> Iterator[list[str]]:
    """The words after ``scripts/up``, whatever variables stand before it."""
    for line in lines(text):
        if found := re.match(r"(?:[A-Z_]+=\S+ )*scripts/up\b(.*)", line):
            yield shlex.split(found[1].partition(" > ")[0].replace("…", ""))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_is_linked_from_the_first() -> None:
    first = PAGES[0].read_text("utf-8")
    assert len(PAGES) >= 10
    for page in PAGES[1:]:
        assert f"({page.relative_to(PROJECT)})" in first


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_they_are_given(page: Path) -> None:
    for said in commands(page.read_text("utf-8")):
        name, *arguments = shlex.split(said.replace("…", ""))[1:] or ["--help"]
        if name.startswith("-"):
            continue
        command = cli.commands.get(name)
        assert command is not None, said
        whole = click.Context(cli, **cli.context_settings)  # a command keeps how it was first asked
        with click.Context(command, parent=whole, info_name=name) as context:
            try:
                command.make_parser(context).parse_args(list(arguments))
            except (click.NoSuchOption, click.BadOptionUsage) as error:
                # In a sentence an option may be named without its value.
                if isinstance(error, click.NoSuchOption) or not arguments[-1].startswith("--"):
                    pytest.fail(f"{said}: {error.format_message()}")


def test_blocks_of_shell_can_be_pasted_into_any_shell() -> None:
    """What follows a # is an argument to an interactive zsh."""
    for page in PAGES:
        for language, block in BLOCK.findall(page.read_text("utf-8")):
            assert language != "bash" or " #" not in block, (page.name, block)


COMPOSE = (PROJECT / "docker" / "compose.yaml").read_text("utf-8")
SERVICES = yaml.safe_load(COMPOSE)["services"]
PROFILES = {name for each in SERVICES.values() for name in each.get("profiles", ())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_containers_are_called_what_they_are(page: Path) -> None:
    text = page.read_text("utf-8")
    for line in lines(text):
        # Each compose has another command, and one of them no cp.
        assert line == "docker-compose" or not re.match(r"(docker[ -])?compose\b", line), line
    for said in of_containers(text):
        if said[:1] == ["exec"]:
            assert said[1] in SERVICES and len(said) > 2, said
        elif said[:1] == ["cp"]:
            places = [each.partition(":")[0] for each in said[1:] if ":" in each]
            assert len(said) == 3 and len(places) == 1 and places[0] in SERVICES, said
        elif said[:1] == ["down"]:
            assert said in (["down"], ["down", "--volumes"])
        elif said[:1] and said[0] in ("logs", "ps", "restart"):
            assert set(said[1:]) <= set(SERVICES), said
        else:
            names = {said[place + 1] for place, each in enumerate(said) if each == "--profile"}
            assert names <= PROFILES, said
            assert set(said) - names <= {"--profile", "--no-demo"}, said


def test_ports_of_containers_are_those_that_are_told() -> None:
    """On the page, and where one is taken."""
    published = dict(re.findall(r"\$\{(\w+_PORT):-(\d+)\}", COMPOSE))
    assert len(published) == 6
    page = (PROJECT / "docs" / "cluster.md").read_text("utf-8")
    told = re.findall(r"<http://127\.0\.0\.1:(\d+)\S*> \| `(\w+_PORT)`", page)
    assert {name: port for port, name in told} == published
    script = (PROJECT / "scripts" / "up").read_text("utf-8")
    assert dict(re.findall(r"\$\{(\w+_PORT):-(\d+)\}", script)) == published
    hint = script.partition("choose another")[2].partition("\n#")[0]
    assert set(re.findall(r"\w+_PORT", hint)) == set(published)


def test_enough_is_found_to_look_at() -> None:
    texts = [page.read_text("utf-8") for page in PAGES]
    assert sum(len(list(commands(text))) for text in texts) >= 40
    assert sum(len(list(of_containers(text))) for text in texts) >= 10
