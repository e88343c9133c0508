"""Options that several verbs share: which model, and where the parts of a family without adapter are."""

import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

import typer

from unsee.errors import OptionError

if TYPE_CHECKING:
    from unsee.data.sample import Sample
    from unsee.erase.eraser import Eraser
    from unsee.models.generic import GenericAdapter
    from unsee.models.load import LoadedModel

Out = Annotated[Path, typer.Option(help="Folder to write to.")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Precision of the weights; float32 is faster on most CPUs."),
]
Seed = Annotated[int, typer.Option(help="Of every random draw.")]
Json = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object on a line.")]
BatchSize = Annotated[
    int, typer.Option(min=1, metavar="<int>", help="Prompts per forward pass; less memory, more time.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="<int>", help="At most so many questions a set, evenly spaced.")
]
Others = Annotated[
    list[str] | None,
    typer.Option(
        help="Background prompts, on which no gate may open; repeat. Those that are questions also go before."
    ),
]
Model = Annotated[
    str, typer.Argument(help="Checkpoint folder, hub id, 'world:llava' (shipped) or 'real:smollm2' (fetched).")
]
Reply = Annotated[
    str, typer.Option(help="How to reply, in the order to try: steer, prefix (opening words), canned (a fixed text).")
]
ReplyWords = Annotated[str | None, typer.Option("--words", help="The opening words, or the fixed text, of a reply.")]
_PARTS = "A model of a family that unsee does not know"
Family = Annotated[str | None, typer.Option(help="Its model_type, such as opt; with --layers.", rich_help_panel=_PARTS)]
Layers = Annotated[
    str | None, typer.Option(help="Path of its decoder blocks, such as model.layers.", rich_help_panel=_PARTS)
]
Vision = Annotated[str | None, typer.Option(help="Path of its vision tower, where it has one.", rich_help_panel=_PARTS)]
ImageMarker = Annotated[
    str | None,
    typer.Option(help="What stands for one image in its prompts, such as <image>.", rich_help_panel=_PARTS),
]


@final
@dataclass(frozen=True)
class Parts:
    """Where the parts of a model without adapter are, as the command line names them; all None for known families."""

    family: str | None = None
    layers: str | None = None
    vision: str | None = None
    image_marker: str | None = None

    def adapter(self) -> "GenericAdapter | None":
        """The adapter that they describe; None where no part is named.

        Raises:
            OptionError: some parts are named, but not those that are needed together.
            ModelError: a vision tower without marker, or the reverse.
        """
        if self == Parts():
            return None
        from unsee.models.generic import GenericAdapter

        decoder, _, blocks = (self.layers or "").rpartition(".")
        if not self.family or not decoder or not blocks:
            raise OptionError(
                f"got --family {self.family} --layers {self.layers}: expected both, as in --family llama --layers "
                "model.layers, and the blocks' path to have at least two parts."
            )
        return GenericAdapter(self.family, decoder, blocks, self.vision, self.image_marker)


def taking(
    name: str, made: Callable[..., Any], options: Mapping[str, tuple[Any, Any]]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command options, as type and default; it receives what is `made` of them as `name`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command)
        own = [one.replace(kind=one.KEYWORD_ONLY) for key, one in signature.parameters.items() if key != name]
        added = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in options.items()
        ]

        @wraps(command)
        def with_them(**given: Any) -> Any:
            return command(**{name: made(**{key: given.pop(key) for key in options})}, **given)

        shown = [*own, *added]
        with_them.__signature__ = signature.replace(parameters=shown)  # pyright: ignore[reportFunctionMemberAccess]
        with_them.__annotations__ = {one.name: one.annotation for one in shown}
        return with_them

    return decorate


takes_parts = taking(
    "parts",
    Parts,
    {"family": (Family, None), "layers": (Layers, None), "vision": (Vision, None), "image_marker": (ImageMarker, None)},
)
"""Gives a command `--family`, `--layers`, `--vision` and `--image-marker`; it receives them as `parts`."""


def open_model(name: str, parts: Parts, dtype: str = "auto") -> "LoadedModel":
    """As `load`, with an adapter of these parts where any is named.

    Raises:
        OptionError: the parts are not complete.
        ModelError: there is no model of that name, or it cannot be loaded.
    """
    adapter = parts.adapter()
    from unsee.models.load import load

    return load(name, dtype=dtype, adapter=adapter)


def all_of(paths: list[str] | None) -> "list[Sample]":
    """The samples of several sets, one after the other."""
    from unsee.data import read

    return [sample for path in paths or () for sample in read(path)]


def require_writable(out: Path) -> None:
    """Refuse a folder that cannot be written to, before anything is computed for it.

    Raises:
        OptionError: it is a file, lies under one, or this user may not write there.
    """
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise OptionError(
            f"--out is {str(out)!r}, but {str(there)!r} is no folder that this user may write to. Choose another place."
        )


def parsed(option: str, given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs, values as JSON or plain text.

    Raises:
        OptionError: one is no pair.
    """
    options: dict[str, Any] = {}
    for text in given:
        name, named, value = text.partition("=")
        if not named or not name:
            raise OptionError(f"{option} is {text!r}, expected NAME=VALUE, as in max_model_len=2048")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value  # plain text needs no quotes
    return options


def erasers_of(paths: Sequence[Path], loaded: "LoadedModel") -> "list[Eraser]":
    """Saved erasers in force together.

    Raises:
        ArtifactError: one is damaged.
        MismatchError: one was made for another model.
    """
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import together
    from unsee.erase.profile import require_same_model

    erasers = [Eraser.from_pretrained(path) for path in paths]
    for eraser in erasers:
        require_same_model(eraser.model, loaded, "eraser")
    return together(erasers)
