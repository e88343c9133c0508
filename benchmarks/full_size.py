"""What unsee costs at the shapes of LLaVA-1.5-7B, Qwen2.5-VL-7B and Qwen3-VL-8B, with random weights.

Random weights cost what trained ones cost, so nothing is downloaded. On a GPU whole models in bfloat16; without one
the width is whole and the blocks are few (`--layers`), and the output says so. All are ratios within one run:

- prefill and token: steered over unsteered, for the conditions of `steering_cost`;
- capture: plain forward passes over the same passes with capture, so 1 is free and below 1 is slower;
- artifact: bytes of a saved request for one subject, default gate and published gate, at the shape's full depth;
- erase: seconds of a request's solve, forward passes aside, float64 on the CPU: the default gate on the blocks that it
  reads, and the published gate over the shape's full depth.

Time is wall time on a GPU; on a CPU it is the process's own CPU time, so that a busy machine's other work stays out.
Run it with one thread there (`OMP_NUM_THREADS=1`), or the time of all threads is added up.

On a CPU a whole image and vocabulary are most of the memory and the time, and none of what is compared: `--side` and
`--vocabulary` cut them. That leaves less unsteered work beside the steered, so ratios come out higher, never lower.

Run from the repository root:

    python -m benchmarks.full_size --markdown
    python -m benchmarks.full_size --shapes qwen3-vl-8b --layers 3 --side 128 --vocabulary 32064 --markdown
    python -m benchmarks.full_size --width 64 --repeats 1 --tokens 2 --samples 8 --retained 32 --json
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from benchmarks.capture import forward, peak_bytes, questions
from benchmarks.common import Columns, Parts, Row, arguments, paired, publish
from benchmarks.common import clock as wall_clock
from benchmarks.steering_cost import DTYPES, erasers, expected_positions
from tests.tiny_llava import noise_image, question, tiny_processor
from tests.tiny_qwen import SPECIALS, TEMPLATE, tiny_tokenizer
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture
from unsee.erase.fit.cross_fitting import cross_fitted
from unsee.erase.gates.null_space import RELEASED_LLAVA, null_space_gate
from unsee.erase.steer.hooks import erased
from unsee.models import adapter_named
from unsee.models.generate import encode
from unsee.models.load import LoadedModel
from unsee.models.qwen_vl import Qwen2_5_VLProcessor, Qwen3VLProcessor
from unsee.shapes import Tensor

STEERING: Columns = {
    "shape": lambda row: row["shape"],
    "condition": lambda row: row["condition"],
    "prefill ratio": lambda row: str(row["prefill"]["ratio"]),
    "token ratio": lambda row: str(row["token"]["ratio"]),
    "prefill, unsteered (ms)": lambda row: f"{row['prefill']['base_ms'].median:.1f}",
    "token, unsteered (ms)": lambda row: f"{row['token']['base_ms'].median:.2f}",
}
FITTING: Columns = {
    "shape": lambda row: row["shape"],
    "capture, throughput over plain": lambda row: f"{row['capture']:.3f}",
    "artifact, default gate (MB)": lambda row: f"{row['held_bytes'] / 1e6:.2f}",
    "artifact, published gate (MB)": lambda row: f"{row['published_bytes'] / 1e6:.2f}",
    "erase, default gate (s)": lambda row: f"{row['erase_s']:.1f}" if "erase_s" in row else "not run",
    "erase, published gate (s)": lambda row: f"{row['published_s']:.1f}" if "erase_s" in row else "not run",
    "blocks run": lambda row: f"{row['layers']} of {row['depth']}",
}


@final
@dataclass(frozen=True)
class Shape:
    """The sizes of a released checkpoint.

    Attributes:
        family: `config.model_type`.
        width, depth, inner, heads, shared, vocabulary: of the decoder; `shared` heads hold keys and values.
        sections: of M-RoPE.
        seen: width, inner width and heads of the vision tower.
        side: of the images, in pixels.
    """

    family: str
    width: int
    depth: int
    inner: int
    heads: int
    shared: int
    vocabulary: int
    sections: tuple[int, int, int]
    seen: tuple[int, int, int]
    side: int = 336


FORGET = 40
SHAPES = {
    "llava-1.5-7b": Shape("llava", 4096, 32, 11008, 32, 32, 32064, (0, 0, 0), (1024, 4096, 16)),
    "qwen2.5-vl-7b": Shape("qwen2_5_vl", 3584, 28, 18944, 28, 4, 152064, (16, 24, 24), (1280, 3420, 16)),
    "qwen3-vl-8b": Shape("qwen3_vl", 4096, 36, 12288, 32, 8, 151936, (24, 20, 20), (1152, 4304, 16)),
}


def shrunk(shape: Shape, width: int) -> Shape:
    """The same proportions at a width that a smoke run can pay for; heads keep an even size."""
    heads = max(1, width // 16)
    sections = (2, 3, 3) if shape.sections[0] else (0, 0, 0)
    inner = shape.inner * width // shape.width
    return replace(
        shape, width=width, inner=inner, heads=heads, shared=heads, vocabulary=512, sections=sections, seen=(64, 64, 4),
        side=56,
    )  # fmt: skip


def config_of(shape: Shape, layers: int, tower: int | None) -> PreTrainedConfig:
    """The configuration with so many decoder blocks, and a vision tower of its released size or of `tower` blocks."""
    wide, inner, heads = shape.seen
    text: dict[str, Any] = {
        "vocab_size": shape.vocabulary, "hidden_size": shape.width, "intermediate_size": shape.inner,
        "num_hidden_layers": layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.shared,
        "pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 4096,
    }  # fmt: skip
    if shape.family == "llava":
        vision = CLIPVisionConfig(
            hidden_size=wide, intermediate_size=inner, num_hidden_layers=tower or 24, num_attention_heads=heads,
            image_size=shape.side, patch_size=14, projection_dim=768,
        )  # fmt: skip
        return LlavaConfig(
            text_config=LlamaConfig(**text),
            vision_config=vision,
            image_token_index=4,
            image_seq_length=(shape.side // 14) ** 2,
        )
    tokens: dict[str, Any] = {
        "image_token_id": SPECIALS.index("<|image_pad|>"), "video_token_id": SPECIALS.index("<|video_pad|>"),
        "vision_start_token_id": SPECIALS.index("<|vision_start|>"),
        "vision_end_token_id": SPECIALS.index("<|vision_end|>"),
    }  # fmt: skip
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(shape.sections)}
    if shape.family == "qwen2_5_vl":
        seen = {
            "depth": tower or 32, "hidden_size": wide, "intermediate_size": inner, "num_heads": heads, "patch_size": 14,
            "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": shape.width,
        }  # fmt: skip
        return Qwen2_5_VLConfig(text_config=text | {"rope_parameters": rope}, vision_config=seen, **tokens)
    seen = {
        "depth": tower or 27, "hidden_size": wide, "intermediate_size": inner, "num_heads": heads, "patch_size": 16,
        "num_position_embeddings": 2304, "out_hidden_size": shape.width,
        "deepstack_visual_indexes": [8, 16, 24] if tower is None else [0],
    }  # fmt: skip
    own = {"rope_parameters": rope | {"mrope_interleaved": True}, "head_dim": shape.width // shape.heads}
    return Qwen3VLConfig(text_config=text | own, vision_config=seen, **tokens)


def build(name: str, shape: Shape, layers: int, tower: int | None, options: argparse.Namespace) -> LoadedModel:
    """The random model on its device, made there in its own precision."""
    if shape.family == "llava":
        processor: Any = tiny_processor(shape.side, 14)
    else:
        patch, kind = (14, Qwen2_5_VLProcessor) if shape.family == "qwen2_5_vl" else (16, Qwen3VLProcessor)
        processor = kind(Qwen2VLImageProcessorPil(patch_size=patch), tiny_tokenizer(), chat_template=TEMPLATE)
    with torch.random.fork_rng(), torch.device(options.device):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config_of(shape, layers, tower), dtype=DTYPES[options.dtype])
    return LoadedModel(model.eval(), processor, adapter_named(shape.family), name, None, "random")


def clock(device: torch.device | str = "cpu") -> float:
    """Seconds: of the wall once a GPU is done with everything queued, or of CPU time."""
    return wall_clock(device) if torch.device(device).type == "cuda" else time.process_time()


@torch.no_grad()
def answer(loaded: LoadedModel, inputs: Mapping[str, Tensor], tokens: int, eraser: Eraser | None) -> Parts:
    """Seconds of one prefill and of one generated token, the mean over `tokens`; one unpadded row needs no mask."""
    model = loaded.model
    with nullcontext() if eraser is None else erased(model, eraser) as steering:
        start = clock(loaded.device)
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        prefilled = clock(loaded.device)
        for _ in range(tokens):
            chosen = output.logits[:, -1:].argmax(-1)
            output = model(input_ids=chosen, past_key_values=output.past_key_values, use_cache=True)
        done = clock(loaded.device)
    steered = 0 if steering is None else steering.positions
    expected = expected_positions(eraser, *inputs["input_ids"].shape, tokens)
    assert steered == expected, f"{steered} positions were steered, the condition is {expected}"
    return {"prefill": prefilled - start, "token": (done - prefilled) / tokens}


def steering(loaded: LoadedModel, shape: Shape, layers: int, options: argparse.Namespace) -> list[Row]:
    """Prefill and token of one image prompt, steered over unsteered."""
    sample = replace(question(0, "x" * options.prompt), image=noise_image(0, (shape.side, shape.side)))
    inputs = dict(encode(loaded, [sample]))
    run = partial(answer, loaded, inputs, options.tokens)
    made = {name: replace(one, family=shape.family) for name, one in erasers(shape.width, layers, 1).items()}
    requests: dict[str, Eraser | None] = {"unsteered again": None, **made}
    rows = paired(partial(run, None), {name: partial(run, one) for name, one in requests.items()}, options.repeats)
    return [{"shape": loaded.name, "prompt_tokens": inputs["input_ids"].shape[1]} | row for row in rows]


def capturing(loaded: LoadedModel, layers: int, options: argparse.Namespace) -> float:
    """Throughput with capture at every block over throughput without."""
    samples, size = questions(options.samples, options.prompt), options.batch_size

    def timed(run: Any) -> Parts:
        start = clock(loaded.device)
        run()
        return {"all": clock(loaded.device) - start}

    plain = partial(timed, partial(forward, loaded, samples, size))
    read = partial(timed, partial(capture, loaded, samples, range(layers), size))
    (row,) = paired(plain, {"capture": read}, options.repeats)
    return 1 / row["all"]["ratio"].median


def artifact_bytes(shape: Shape, condition: str) -> int:
    """Size of a saved request for one subject at the full depth."""
    model = {"id": "random", "revision": None, "digest": f"sha256:{64 * '0'}"}
    request = replace(erasers(shape.width, shape.depth, 1)[condition], model=model)
    if request.gate.latched is True:  # its threshold here decides whatever is read; no fit makes such a one
        request = replace(request, gate=request.gate.with_threshold(torch.zeros_like(request.gate.threshold)))
    with tempfile.TemporaryDirectory() as folder:
        request.save_pretrained(Path(folder) / "request")
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def erase_seconds(shape: Shape, retained: int) -> Row:
    """Solves of a request of 40 forget prompts about one subject; the published gate's at one block, times the depth.

    The default gate is fitted as `fit_eraser` does it, cross fit and thresholds' data included: a tenth of the kept
    prompts are about no person, the others in two halves.
    """
    generator = torch.Generator().manual_seed(0)
    settings = Settings()
    features = 2 * shape.width * len(settings.layers_read(shape.depth))

    def noise(count: int, width: int) -> Tensor:
        return torch.randn(count, width, generator=generator)

    people = (retained - retained // 10) // 2
    forget, halves = noise(FORGET, features), (noise(people, features), noise(people, features))
    others = noise(retained // 10, features)
    start = clock()
    cross_fitted([forget], halves, others, None, settings.ridge)
    taken = clock() - start
    del forget, halves, others
    keep, forget = noise(retained, shape.width), noise(FORGET, shape.width)
    start = clock()
    null_space_gate(keep, forget, RELEASED_LLAVA)
    return {"erase_s": taken, "published_s": shape.depth * (clock() - start)}


def main(argv: Sequence[str] | None = None) -> list[Row]:
    parser = arguments(__doc__)
    there = torch.cuda.is_available()
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--layers", type=int, help="decoder blocks; default: all on a GPU, 4 without")
    parser.add_argument("--side", type=int, help="pixels on a side of the picture; default: 336")
    parser.add_argument("--vocabulary", type=int, help="tokens of the output layer; default: the shape's")
    parser.add_argument("--width", type=int, help="shrink every shape to this width, for a smoke run")
    parser.add_argument("--prompt", type=int, default=128, help="bytes of the question; a picture comes on top")
    parser.add_argument("--tokens", type=int, default=16, help="tokens generated per run")
    parser.add_argument("--samples", type=int, default=32, help="prompts of the capture part")
    parser.add_argument("--batch-size", type=int, default=8, help="prompts of a capture pass")
    parser.add_argument("--retained", type=int, default=2000, help="retained prompts behind the solves; 0 for none")
    parser.add_argument("--repeats", type=int, default=5, help="pairs per condition")
    parser.add_argument("--device", default="cuda" if there else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16" if there else "float32")
    options = parser.parse_args(argv)
    steered: list[Row] = []
    fitted: list[Row] = []
    for name in options.shapes:
        shape = SHAPES[name] if options.width is None else shrunk(SHAPES[name], options.width)
        shape = replace(shape, side=options.side or shape.side, vocabulary=options.vocabulary or shape.vocabulary)
        layers = min(shape.depth, options.layers or (shape.depth if options.device != "cpu" else 4))
        loaded = build(name, shape, layers, None if layers == shape.depth else 2, options)
        steered += steering(loaded, shape, layers, options)
        sizes = {"held_bytes": "held gate, fired", "published_bytes": "published gate"}
        fitted.append(
            {"shape": name, "layers": layers, "depth": shape.depth, "capture": capturing(loaded, layers, options)}
            | {key: artifact_bytes(shape, condition) for key, condition in sizes.items()}
        )
        del loaded  # before the solves, which take as much memory as a few blocks do
        fitted[-1] |= erase_seconds(shape, options.retained) if options.retained else {}
    if not there:
        few = "few blocks and a short vision tower at the width given, not the whole model"
        print(f"No GPU was there: {few}. Peak memory of the process {peak_bytes() / 2**30:.1f} GiB.\n")
    publish("full_size", options, {"Steered over unsteered": (steered, STEERING), "Fitting": (fitted, FITTING)})
    return [*steered, *fitted]


if __name__ == "__main__":
    main()
