"""Every command says what it does, every option what it means, and its example is one that it would take."""

import re
import shlex
from collections.abc import Iterator
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
