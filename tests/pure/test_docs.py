"""README and docs/: every link leads somewhere, every command has the options it is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from driftline.cli import cli

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").iterdir())]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Of the headings, as they are made of them where Markdown is shown."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in headings}


def commands(text: str) -> Iterator[str]:
    """The command lines in blocks of shell, and those in the middle of a sentence."""
    for language, block in BLOCK.findall(text):
        if language == "bash":
            for line in block.replace("\\\n", " ").splitlines():
                said = line.strip().removesuffix("&").removeprefix(".venv/bin/")
                if said.startswith(("driftline ", "shop ")):
                    yield re.sub("^shop", "driftline", said)
    for said in re.findall(r"`(?:\.venv/bin/)?(driftline [^`]+)`", BLOCK.sub("", text)):
        yield " ".join(said.split()).partition(" > ")[0]


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
        with click.Context(command, info_name=name) as context:
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


def test_enough_is_found_to_look_at() -> None:
    assert sum(len(list(commands(page.read_text("utf-8")))) for page in PAGES) >= 40
