"""What answers of `unsee serve` cost over HTTP beside plain vLLM, and what a clock tells a client of the gates.

Three servers of one model run side by side: vLLM's own, `unsee serve` with nothing in force, and with two erasers that
steer too little to change a word, so that all give the same answers. Each round asks all three the same prompts, one
stream at a time, in an order that turns. CPU ms per answer are those of the server's whole process tree, in which
vLLM's processes wait for one another without rest; ratios are within rounds. "AUC" says how well a clock tells prompts
on which a gate opens from the others (0.5: not at all), by the first token and by the mean time between tokens; the
same prompts on plain vLLM are the control. Runs in the environment of tests/serve/run.sh::

    .venv-vllm/bin/python -m benchmarks.serving_http --rounds 8
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from benchmarks.common import Columns, Row, Spread, arguments, publish
from safetensors.torch import load_file, save_file
from scipy.stats import mannwhitneyu
from tests.serve.served import ledger_with, messages, mixed_erasers, questions

from unsee.data.sample import Sample
from unsee.erase.replies.steer import SteerReply
from unsee.models.load import load
from unsee.models.names import shipped
from unsee.serve.engine.compat import part
from unsee.serve.parity.comparison import library_answers

MODEL, PLAIN = "world:llava", "vLLM"
ENGINE = ("--max-model-len", "512", "--enforce-eager", "--block-size", "32", "--dtype", "float32")
COSTS: Columns = {
    "server": lambda row: row["condition"],
    "CPU ms per answer": lambda row: str(row["cpu"]),
    "of vLLM's": lambda row: str(row["cpu ratio"]),
    "first token, ms": lambda row: str(row["first"]),
    "of vLLM's ": lambda row: str(row["first ratio"]),
    "answers that differ": lambda row: row["differ"],
}
TELLS: Columns = {
    "server": lambda row: row["condition"],
    "gates open / shut": lambda row: f"{row['open']} / {row['shut']}",
    "AUC, first token": lambda row: f"{row['first']:.3f}",
    "AUC, between tokens": lambda row: f"{row['between']:.3f}",
}


@dataclass(frozen=True)
class Timed:
    """One streamed answer: seconds to its first token, and between two tokens in the mean; what it says."""

    first: float
    between: float
    text: str


class Server:
    """A server process on loopback, and its client."""

    def __init__(self, name: str, command: list[str], folder: Path, ready: str, **environment: str) -> None:
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.log = (folder / f"{name}.log").open("w")
        command = [*command, "--port", self.url.rpartition(":")[2]]
        environment = os.environ | environment
        self.process = psutil.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=environment)
        self.client: Any = part("openai:OpenAI")(base_url=f"{self.url}/v1", api_key="none", max_retries=0)
        limit = time.monotonic() + 900
        while not self._answers(ready):
            if self.process.poll() is not None or time.monotonic() > limit:
                raise SystemExit(f"{name} did not start: {Path(self.log.name).read_text()[-3000:]}")
            time.sleep(1)

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def seconds(self) -> float:
        """That its processes have had a core so far."""
        tree = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in tree)

    def ask(self, sample: Sample, tokens: int) -> Timed:
        """Stream one answer."""
        began, times, said = time.perf_counter(), list[float](), ""
        for chunk in self.client.chat.completions.create(
            model=MODEL, messages=messages(sample), temperature=0, max_tokens=tokens, stream=True
        ):
            if chunk.choices and chunk.choices[0].delta.content:
                times.append(time.perf_counter())
                said += chunk.choices[0].delta.content
        return Timed(times[0] - began, (times[-1] - times[0]) / max(1, len(times) - 1), said)

    def stop(self) -> None:
        """End it, and wait until it has."""
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


def started(folder: Path, stack: ExitStack) -> tuple[list[Server], list[Sample], list[bool]]:
    """All three, what they are asked, and whether a gate opens on it with two in force."""
    library, asked = load(shipped("llava"), dtype="float32"), questions(each=8)
    erasers = [replace(one, strength=1e-6, reply=SteerReply()) for one in mixed_erasers(library, asked)[:2]]
    samples = [sample for own in asked.values() for sample in own]
    opens = [(answer.margin or -1.0) >= 0 for answer in library_answers(library, samples, erasers)]
    plain = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(_as_vllm_names_it(folder))]
    made = [Server(PLAIN, [*plain, "--served-model-name", MODEL, *ENGINE], folder, "/health", VLLM_PLUGINS="")]
    stack.callback(made[0].stop)
    for name, active in (("nothing in force", 0), ("two in force", 2)):
        ledger_with(folder / name, erasers, active)[0].close()
        command = [sys.executable, "-m", "unsee", "serve", MODEL, "--ledger", str(folder / name / "ledger"), *ENGINE]
        made.append(Server(name, command, folder, "/ready"))
        stack.callback(made[-1].stop)
    return made, samples, opens


def _as_vllm_names_it(folder: Path) -> Path:
    """A copy of the checkpoint with the tower's weights under the names that vLLM alone knows them by."""
    copy = folder / "checkpoint"
    shutil.copytree(shipped("llava"), copy)
    for file in copy.glob("*.safetensors"):
        weights = {
            name.replace("vision_tower.", "vision_tower.vision_model."): w for name, w in load_file(file).items()
        }
        save_file(weights, file, {"format": "pt"})
    return copy


def told(times: Sequence[float], opens: Sequence[bool]) -> float:
    """Area under the curve of telling open gates by longer times, or by shorter ones, whichever tells more."""
    there, not_there = ([t for t, one in zip(times, opens, strict=True) if one is which] for which in (True, False))
    larger: Any = mannwhitneyu(there, not_there)
    area = float(larger.statistic) / (len(there) * len(not_there))
    return max(area, 1 - area)


def measured(made: Sequence[Server], samples: Sequence[Sample], options: Any) -> dict[str, list[dict[str, Any]]]:
    """By server, what each round took; the first round warms up and is not counted."""
    rounds: dict[str, list[dict[str, Any]]] = {server.name: [] for server in made}
    for number in range(options.rounds + 1):
        turn = number % len(made)
        for server in (*made[turn:], *made[:turn]):
            before = server.seconds()
            answers = [server.ask(sample, options.tokens) for sample in samples]
            spent = 1000 * (server.seconds() - before) / len(samples)
            rounds[server.name].append({"cpu": spent, "answers": answers})
        print(number, {name: round(of[-1]["cpu"], 1) for name, of in rounds.items()}, file=sys.stderr, flush=True)
    return {name: of[1:] for name, of in rounds.items()}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="times that each server is asked everything")
    parser.add_argument("--tokens", type=int, default=16, help="of an answer at most")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made, samples, opens = started(folder, stack)
        rounds = measured(made, samples, options)
    texts = {name: [one.text for each in of for one in each["answers"]] for name, of in rounds.items()}
    costs, tells = list[Row](), list[Row]()
    for name, of in rounds.items():
        first = [1000 * median(one.first for one in each["answers"]) for each in of]
        plain = [1000 * median(one.first for one in each["answers"]) for each in rounds[PLAIN]]
        ratios = [each["cpu"] / base["cpu"] for each, base in zip(of, rounds[PLAIN], strict=True)]
        costs.append(
            {
                "condition": name,
                "cpu": Spread.of([each["cpu"] for each in of]),
                "cpu ratio": Spread.of(ratios),
                "first": Spread.of(first),
                "differ": f"{sum(map(str.__ne__, texts[name], texts[PLAIN]))} of {len(texts[name])}",
                "first ratio": Spread.of([a / b for a, b in zip(first, plain, strict=True)]),
            }
        )
        answers, known = [one for each in of for one in each["answers"]], opens * len(of)
        row: Row = {"condition": name, "open": sum(known), "shut": len(known) - sum(known)}
        tells.append(
            row | {part: told([getattr(one, part) for one in answers], known) for part in ("first", "between")}
        )
    tables = {"Cost of an answer": (costs, COSTS), "What a clock tells": (tells, TELLS)}
    publish("python -m benchmarks.serving_http", options, tables)


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
