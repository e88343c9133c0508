"""Every command says what it does, every option what it means, and examples, also in docs, are what it would take."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from unsee.cli import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    for name, one in (inner or {}).items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_has_an_example_that_it_takes(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UNSEE_LEDGER", "UNSEE_LEDGER_KEYS", "UNSEE_WHO"):
        monkeypatch.setenv(name, "here")
    command = COMMANDS[path]
    examples = re.findall(r"^Example: (.+)$", command.help, re.M)
    assert len(examples) == 1 and examples[0].startswith(" ".join(("unsee", *path)))
    typed = shlex.split(re.sub(r" \(.*\)$|, then .*$", "", examples[0]))[1 + len(path) :]
    with command.make_context(path[-1], typed) as context:
        assert not context.args or path == ("serve",)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_means(path: tuple[str, ...]) -> None:
    said = {one.name: getattr(one, "help", None) for one in COMMANDS[path].params}
    assert all(said.values()), said


def typed(page: Path) -> Iterator[list[str]]:
    """The words of each `unsee ...` line in the fenced blocks of a page, without remarks."""
    for block in re.findall(r"^```(?:bash|console|text)?\n(.*?)^```", page.read_text(), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*unsee (.*?)(?:\s#|\s[|>]\s|\s&|;|$)", line.strip()):
                yield shlex.split(found[1])


DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_commands_in_docs_have_the_options_that_are_shown(page: Path) -> None:
    if page.name == "log.md":  # what was typed then stays
        return
    for words in typed(page):
        path = next((tuple(words[:n]) for n in (2, 1) if tuple(words[:n]) in COMMANDS), None)
        if path is None:
            # A list of commands, a group of them, or an option of all.
            assert "|" in words or words[1:] in ([], ["..."]) or words[0].startswith("-"), words
            continue
        known = {name for one in COMMANDS[path].params for name in (*one.opts, *getattr(one, "secondary_opts", ()))}
        shown = {word.partition("=")[0] for word in words if word.startswith("--") and not word.endswith("...")}
        assert path == ("serve",) or shown <= known, (words, shown - known)
