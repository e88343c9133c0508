"""What the benchmarks share: a random LLaVA of any width, paired timing, and three ways to print a result."""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table
from tests.tiny_llava import SIDE, tiny_processor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from unsee.models.llava import LlavaAdapter
from unsee.models.load import LoadedModel

Row = dict[str, Any]
Parts = dict[str, float]
Columns = Mapping[str, Callable[[Row], str]]
_PATCH = 8


@final
@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one or more repeats."""
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        return cls(median, low, high)

    def __str__(self) -> str:
        """Median [lower quartile, upper quartile]."""
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def random_llava(width: int, depth: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Decoder blocks in the proportions of LLaVA-1.5-7B, over a tiny vision tower and one token per byte.

    With so small a tower and output layer nearly all time is spent in the blocks, so the cost of steering is not
    hidden behind what is never steered.
    """
    processor = tiny_processor(SIDE, _PATCH)
    tokenizer = processor.tokenizer
    heads = max(1, width // 128)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=43 * width // 16,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=_PATCH,
    )
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=image_token,
        image_seq_length=(SIDE // _PATCH) ** 2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(config).eval()
    model.to(device=device, dtype=dtype)
    return LoadedModel(model, processor, LlavaAdapter(), f"random-{width}x{depth}", None, "random")


def shape(text: str) -> tuple[int, int]:
    """Width and number of decoder blocks from `256x4`."""
    width, _, depth = text.partition("x")
    if int(depth) < 2:
        raise argparse.ArgumentTypeError(f"{text} has too few blocks, expected at least 2: the first is never steered")
    return int(width), int(depth)


def clock(device: torch.device | str = "cpu") -> float:
    """Seconds, read after everything queued on the device has run."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def paired(base: Callable[[], Parts], others: Mapping[str, Callable[[], Parts]], repeats: int) -> list[Row]:
    """Each condition timed next to its own run of the base; ratios are taken within such pairs.

    A machine that slows down for a minute slows both halves of a pair. The order within pairs alternates, and a
    first round warms caches up and is not counted.

    Args:
        base: runs what the others are compared with; seconds by part.
        others: conditions by name, with the same parts.
        repeats: pairs per condition.

    Returns:
        Per condition and part: the ratio to the base, and the base's and its own milliseconds.
    """
    pairs: dict[str, list[tuple[Parts, Parts]]] = {name: [] for name in others}
    for turn in range(repeats + 1):
        for name, other in others.items():
            if turn % 2:
                before, after = base(), other()
            else:
                after, before = other(), base()
            if turn:
                pairs[name].append((before, after))
    return [{"condition": name} | {part: _compare(part, its) for part in its[0][0]} for name, its in pairs.items()]


def _compare(part: str, pairs: Sequence[tuple[Parts, Parts]]) -> dict[str, Spread]:
    return {
        "ratio": Spread.of([after[part] / before[part] for before, after in pairs]),
        "base_ms": Spread.of([1000 * before[part] for before, _ in pairs]),
        "ms": Spread.of([1000 * after[part] for _, after in pairs]),
    }


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--markdown", action="store_true", help="print a markdown table, for docs/performance.md")
    return parser


def environment() -> dict[str, Any]:
    """What the numbers depend on, as far as it can be read; the load tells a quiet machine from a busy one."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 1),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def publish(benchmark: str, options: argparse.Namespace, tables: Mapping[str, tuple[Sequence[Row], Columns]]) -> None:
    """Print titled tables, as markdown where asked, and with `--json` everything as one object on the last line."""
    settings = {key: value for key, value in vars(options).items() if key not in ("json", "markdown", "only")}
    where = environment()
    for title, (rows, columns) in tables.items():
        cells = [[cell(row) for cell in columns.values()] for row in rows]
        if options.markdown:
            print(f"{title}:\n\n{_markdown(list(columns), cells)}\n")
        else:
            _print_table(title, columns, cells)
    print(f"`{benchmark}`: {_listed(settings)}; {_listed(where)}.")
    if options.json:
        rows_of = {title: rows for title, (rows, _) in tables.items()}
        result = {"benchmark": benchmark, "settings": settings, "environment": where, "tables": rows_of}
        print(json.dumps(result, default=lambda one: str(one) if isinstance(one, Path) else asdict(one)))


def _print_table(title: str, columns: Columns, cells: Sequence[Sequence[str]]) -> None:
    console, table = Console(), Table(title=title)
    for header in columns:
        table.add_column(header, overflow="fold")
    for row in cells:
        table.add_row(*row)
    if not console.is_terminal:
        console.width = 160  # a pipe has no width of its own, and 80 columns would break every number
    console.print(table)


def _markdown(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
