"""What steering costs: prefill and time per generated token, steered over unsteered, on random models.

Three conditions against the same model without hooks: the held gate when it does not fire (every request pays this,
whoever asks), the held gate when it fires, and the published gate, which always acts but only on the prompt. A
fourth, the unsteered model against itself, shows the noise: a ratio inside its spread is no difference.

The prompt is one decoder call with cache, each token another. `generate`'s own work per token is left out, and the
vision tower and output layer are tiny, so a real model's ratios are lower than these. Layers are read and written
where the default settings put them. Opening `erased` is not timed: a deployment does it once.

Run from the repository root:

    python -m benchmarks.steering_cost --markdown
    python -m benchmarks.steering_cost --shapes 256x4 --repeats 3 --json
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from benchmarks.common import Columns, Parts, Row, arguments, clock, paired, publish, random_llava, shape
from tests.tiny_llava import question

from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.steer.hooks import erased
from unsee.models.generate import encode
from unsee.models.load import LoadedModel
from unsee.shapes import Tensor

COLUMNS: Columns = {
    "width x layers": lambda row: f"{row['width']} x {row['layers']}",
    "condition": lambda row: row["condition"],
    "prefill ratio": lambda row: str(row["prefill"]["ratio"]),
    "token ratio": lambda row: str(row["token"]["ratio"]),
    "prefill, unsteered (ms)": lambda row: f"{row['prefill']['base_ms'].median:.2f}",
    "token, unsteered (ms)": lambda row: f"{row['token']['base_ms'].median:.3f}",
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ALWAYS, _NEVER = -1e30, 1e30
"""Thresholds that fix the decision whatever the random weights read; the arithmetic is the same."""


def erasers(width: int, depth: int, subjects: int) -> dict[str, Eraser]:
    """One request per condition, with random tensors of the shapes that a fit makes."""
    generator = torch.Generator().manual_seed(0)
    settings = Settings()
    read = settings.layers_read(depth)

    def noise(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator) / width**0.5

    def request(layers: tuple[int, ...], gate: PromptRidgeGate | NullSpaceGate, steps: int) -> Eraser:
        return Eraser({"id": "random"}, "llava", layers, gate, noise(len(layers), steps, width), 0.1, "benchmark")

    def held(threshold: float) -> Eraser:
        weight, zero = noise(subjects, len(read), 2, width), torch.zeros(subjects)
        gate = PromptRidgeGate(read, weight, zero, zero + threshold)
        return request(tuple(range(read[-1], depth)), gate, settings.steps)  # as `Profile.written`

    every = tuple(range(1, depth))
    published = request(every, NullSpaceGate(noise(len(every), width)), 1)
    return {"held gate, not fired": held(_NEVER), "held gate, fired": held(_ALWAYS), "published gate": published}


def expected_positions(eraser: Eraser | None, rows: int, prompt: int, tokens: int) -> int:
    """How many positions, over rows and layers, a run of this length has to steer."""
    if eraser is None:
        return 0
    if isinstance(eraser.gate, NullSpaceGate):
        return rows * prompt * len(eraser.layers)
    fired = bool((eraser.gate.threshold == _ALWAYS).all())
    return rows * (1 + tokens) * len(eraser.layers) * fired


@torch.no_grad()
def answer(loaded: LoadedModel, inputs: Mapping[str, Tensor], tokens: int, eraser: Eraser | None) -> Parts:
    """Seconds of one prefill and of one generated token, the mean over `tokens`."""
    model, mask = loaded.model, inputs["attention_mask"]
    one = mask.new_ones(mask.shape[0], 1)
    with nullcontext() if eraser is None else erased(model, eraser) as steering:
        start = clock(model.device)
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        prefilled = clock(model.device)
        for _ in range(tokens):
            mask = torch.cat([mask, one], dim=1)
            chosen = output.logits[:, -1:].argmax(-1)
            output = model(
                input_ids=chosen, attention_mask=mask, past_key_values=output.past_key_values, use_cache=True
            )
        done = clock(model.device)
    steered = 0 if steering is None else steering.positions
    expected = expected_positions(eraser, *inputs["input_ids"].shape, tokens)
    assert steered == expected, f"{steered} positions were steered, the condition is {expected}"
    return {"prefill": prefilled - start, "token": (done - prefilled) / tokens}


def measure(width: int, depth: int, options: argparse.Namespace) -> list[Row]:
    """All conditions at one shape."""
    loaded = random_llava(width, depth, options.device, DTYPES[options.dtype])
    inputs = dict(encode(loaded, [question(row, "x" * options.prompt) for row in range(options.batch_size)]))
    run = partial(answer, loaded, inputs, options.tokens)
    requests = {"unsteered again": None} | erasers(width, depth, options.subjects)
    rows = paired(partial(run, None), {name: partial(run, one) for name, one in requests.items()}, options.repeats)
    size = {"width": width, "layers": depth, "prompt_tokens": inputs["input_ids"].shape[1]}
    return [size | row for row in rows]


def main(argv: Sequence[str] | None = None) -> list[Row]:
    parser = arguments(__doc__)
    shapes = [(256, 4), (2048, 4), (4096, 2)]
    parser.add_argument("--shapes", nargs="+", type=shape, default=shapes, metavar="WIDTHxLAYERS")
    parser.add_argument("--prompt", type=int, default=128, help="bytes of the question; the template adds a few tokens")
    parser.add_argument("--tokens", type=int, default=16, help="tokens generated per run")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--subjects", type=int, default=10, help="forgotten subjects, one gate vector each")
    parser.add_argument("--repeats", type=int, default=9, help="pairs per condition")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    options = parser.parse_args(argv)
    rows = [row for width, depth in options.shapes for row in measure(width, depth, options)]
    publish("steering_cost", options, {"Steered over unsteered (median and quartiles)": (rows, COLUMNS)})
    return rows


if __name__ == "__main__":
    main()
