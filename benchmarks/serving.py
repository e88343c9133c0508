"""What steering costs in vLLM: the same engine, with hooks and without, K requests loaded, all steered or none.

Each condition is timed next to its own run of the stock engine (hooks taken off the blocks, scheduler not followed), so
that a machine that slows down slows both. "first token" is a run of one token per prompt, "answer" one of many; the
ratio is steered over stock, in seconds: 1.02 is 2 % slower. `--clock cpu` counts the seconds of the process on a core,
which says more where other work shares the machine. Runs in the environment of tests/serve/run.sh::

    .venv-vllm/bin/python -m benchmarks.serving                       # CPU
    .venv-vllm/bin/python -m benchmarks.serving --shape 4096x32 --dtype bfloat16 --requests 256   # a GPU
"""

import gc
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.common import Columns, Parts, arguments, clock, paired, publish, random_llava, shape

from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.serve.engine.blocks import decoder_blocks
from unsee.serve.engine.compat import part
from unsee.serve.engine.plugin import engine_options
from unsee.serve.engine.tracking import NO_SET, SET

COLUMNS: Columns = {
    "requests loaded, steered": lambda row: row["condition"],
    "answer": lambda row: str(row["answer"]["ratio"]),
    "stock, ms": lambda row: str(row["answer"]["base_ms"]),
    "first token": lambda row: str(row["first token"]["ratio"]),
    "stock, ms ": lambda row: str(row["first token"]["base_ms"]),
}


class Bench:
    """An engine that can be stock or steered."""

    def __init__(self, options: Any, folder: Path) -> None:
        self.options, (self.width, self.depth) = options, options.shape
        made = random_llava(self.width, self.depth)
        made.model.save_pretrained(folder)
        made.processor.save_pretrained(folder)
        vocabulary = len(made.processor.tokenizer)
        self.read = tuple(sorted({1, self.depth // 3, self.depth // 2, self.depth - 1} - {0}))
        del made
        gc.collect()
        self.llm: Any = part("vllm:LLM")(
            str(folder), dtype=options.dtype, max_model_len=options.prompt + options.answer + 8,
            enable_prefix_caching=False, enforce_eager=True, disable_log_stats=True, **engine_options(),
        )  # fmt: skip
        self.llm.collective_rpc("unsee_load", args=({}, {}, NO_SET))
        self.runner = self.llm.llm_engine.model_executor.driver_worker.worker.model_runner
        self.blocks = decoder_blocks(self.runner.model, self.runner.vllm_config.model_config.hf_config)
        self.hooks = [dict(block._forward_pre_hooks) for block in self.blocks]
        self.number = self.runner.model.unsee_number
        draw = random.Random(0)
        self.prompts = [
            {"prompt_token_ids": [draw.randrange(8, vocabulary - 8) for _ in range(options.prompt)]}
            for _ in range(options.requests)
        ]

    def load(self, count: int, steered: bool) -> None:
        """Hold so many requests, with random gates; the first fires on everything, or none on anything."""
        generator = torch.Generator().manual_seed(0)
        erasers: dict[str, Eraser] = {}
        trajectory = torch.randn(1, 12, self.width, generator=generator) / 100
        for number in range(count):
            weight = torch.randn(1, len(self.read), 2, self.width, generator=generator) / 1e3
            threshold = torch.full((1,), -1e6 if steered and number == 0 else 1e6)
            gate = PromptRidgeGate(self.read, weight, torch.zeros(1), threshold)
            erasers[f"e{number}"] = Eraser({"id": "x"}, "llava", (self.depth - 1,), gate, trajectory, 1.0, "x")
        self.runner.unsee_steerer.load(erasers, {"all": list(erasers)} if erasers else {}, NO_SET)
        self.set_name = "all" if erasers else NO_SET

    def run(self, hooked: bool) -> Parts:
        """Seconds of one round."""
        if hooked:
            self.runner.model.unsee_number = self.number
        elif hasattr(self.runner.model, "unsee_number"):
            del self.runner.model.unsee_number
        for block, hooks in zip(self.blocks, self.hooks, strict=True):
            block._forward_pre_hooks.clear()
            block._forward_pre_hooks.update(hooks if hooked else {})
        return {"first token": self._timed(1), "answer": self._timed(self.options.answer)}

    def _timed(self, tokens: int) -> float:
        extra = {SET: self.set_name}
        parameters = part("vllm:SamplingParams")(temperature=0, max_tokens=tokens, ignore_eos=True, extra_args=extra)
        start = self._now()
        self.llm.generate(self.prompts, parameters, use_tqdm=False)
        return self._now() - start

    def _now(self) -> float:
        return time.process_time() if self.options.clock == "cpu" else clock(self.runner.device)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--shape", type=shape, default=(512, 8), help="width x decoder blocks")
    parser.add_argument("--loaded", type=int, nargs="+", default=[0, 1, 16, 256, 1000], help="requests loaded, K")
    parser.add_argument("--requests", type=int, default=16, help="prompts answered at the same time")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--answer", type=int, default=48, help="tokens of an answer")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="seconds that pass, or that it has a core"
    )
    parser.add_argument("--repeats", type=int, default=5, help="pairs per condition")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        rows = []
        for count in options.loaded:
            for steered in (False, True) if count else (False,):
                bench.load(count, steered)
                name = f"{count}, {'all' if steered else 'none'}"
                hooked: dict[str, Callable[[], Parts]] = {name: lambda: bench.run(True)}
                rows += paired(lambda: bench.run(False), hooked, options.repeats)
                print(name, rows[-1]["answer"]["ratio"], flush=True)
        publish("python -m benchmarks.serving", options, {"Seconds, steered over stock": (rows, COLUMNS)})


if __name__ == "__main__":
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    main()
