"""The architecture, read from the source: who may import whom, what stays pure, how long a file may be."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "unsee"
FILES = sorted(SOURCE.rglob("*.py"))

# From the ground up. A layer imports itself and those before it; layers of one line may import each other.
LAYERS = (
    (
        "unsee.errors",
        "unsee.extras",
        "unsee.registry",
        "unsee.schema",
        "unsee.shapes",
        "unsee.progress",
        "unsee.workers",
    ),
    ("unsee.data",),
    ("unsee.models",),
    ("unsee.erase",),
    ("unsee.metrics", "unsee.world"),
    ("unsee.attacks", "unsee.methods", "unsee.evals", "unsee.forgetting"),
    ("unsee.ledger", "unsee.serve"),
    # `unsee` alone is the front door, `__init__.py`.
    ("unsee", "unsee.cli.console", "unsee.experiments"),
    ("unsee.ui",),
    ("unsee.cli",),
    ("unsee.__main__",),
)
LEVELS = {layer: level for level, layers in enumerate(LAYERS) for layer in layers}
# The world is made without knowing the method that will be tried on it, nor how it is judged.
WORLD_IMPORTS = {*LAYERS[0], "unsee.data", "unsee.models", "unsee.world"}
PURE = {
    "unsee.erase.fit.moments",
    "unsee.erase.fit.direction",
    "unsee.erase.fit.cross_fitting",
    "unsee.erase.fit.joint",
    "unsee.erase.fit.calibration",
    "unsee.erase.fit.ridge",
    "unsee.erase.steer.positions",
}
LONGEST = 300
WORD_LISTS = "unsee.world.vocabulary"  # data in all but name


def module_of(path: Path) -> str:
    parts = ("unsee", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every import, those inside functions too."""
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for name in node.names:
                inner = f"{base}.{name.name}"
                yield node.lineno, inner if inner in MODULES else base


MODULES = {module_of(path): path for path in FILES}


def layer_of(module: str) -> str:
    """The longest layer name that the module lies under; `unsee` itself holds nothing but its own file."""
    fits = [name for name in LEVELS if module == name or (name != "unsee" and module.startswith(f"{name}."))]
    assert fits, f"{module} belongs to no layer: add it to LAYERS in {Path(__file__).name}, where design wants it"
    return max(fits, key=len)


def ours(path: Path) -> Iterator[tuple[int, str]]:
    return ((line, name) for line, name in imports_of(path) if name.split(".")[0] == "unsee")


def test_the_source_is_found() -> None:
    assert {"unsee.errors", "unsee.data.sample", "unsee.erase.steer.hooks", "unsee.cli"} <= MODULES.keys()
    assert "unsee.models" in {layer_of(name) for _, name in ours(MODULES["unsee.erase.fit.activations"])}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_downwards(path: Path) -> None:
    level = LEVELS[layer_of(module_of(path))]
    upward = [f"line {line}: {name}" for line, name in ours(path) if LEVELS[layer_of(name)] > level]
    assert not upward, f"{module_of(path)} may import only layers at or below its own"


@pytest.mark.parametrize("path", [p for p in FILES if p.parent == SOURCE / "world" and p.stem != "demo"], ids=module_of)
def test_the_world_does_not_know_the_method(path: Path) -> None:
    assert not [f"line {line}: {name}" for line, name in ours(path) if layer_of(name) not in WORLD_IMPORTS]


@pytest.mark.parametrize("module", sorted(PURE))
def test_the_mathematics_is_pure(module: str) -> None:
    """Its imports are closed, so none of it can reach a model through another file."""
    allowed = PURE | {"unsee.errors", "unsee.shapes"}
    assert {name for _, name in ours(MODULES[module])} <= allowed
    assert "transformers" not in {name.split(".")[0] for _, name in imports_of(MODULES[module])}


@pytest.mark.parametrize("path", [p for p in FILES if module_of(p) != WORD_LISTS], ids=module_of)
def test_no_file_is_long(path: Path) -> None:
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST, f"{path.relative_to(SOURCE)} has {length} lines: split it by what it holds"


@pytest.mark.parametrize("arguments", [("--help",), ("demo", "--help")], ids=" ".join)
def test_help_needs_no_torch(arguments: tuple[str, ...]) -> None:
    """Help comes at once, and also where the installation of torch is broken."""
    blocked = "import sys; sys.modules.update(torch=None, transformers=None); from unsee.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", blocked, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert "demo" in done.stdout
