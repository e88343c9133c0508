"""One self-contained page that says what erasure did.

Everything is computed from rows and answers that were already scored; nothing is measured here. The page has
no script, loads nothing, and escapes every text that came from a model or a data set.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from unsee.errors import DataError
from unsee.evals import figures
from unsee.evals.cards import cards, failures
from unsee.evals.headline import (
    CONDITIONS,
    Rate,
    conditions_of,
    cost_table,
    details,
    headline,
    method_of,
    percent,
)
from unsee.evals.stats import Row
from unsee.evals.tables import LIMITS, save


def write_report(
    out_dir: Path | str,
    metrics: Mapping[str, Any],
    answers: Sequence[Mapping[str, Any]],
    images: Mapping[str, bytes],
    gates: Mapping[str, Any] | None,
    tradeoff: Mapping[str, Any] | None,
    diagnosis: Sequence[Mapping[str, Any]],
    cost: Mapping[str, Any],
    limits_text: str = LIMITS,
    pgd_history: Sequence[float] | None = None,
) -> Path:
    """Write `report.html`.

    Args:
        out_dir: made when it does not exist.
        metrics: `metrics.json`; `rows` is needed, `seed`, `runs` (1 when absent) and `environment` are shown.
        answers: lines of `answers.jsonl`; `correct` is used where it is given.
        images: image id to PNG bytes.
        gates: see `figures.gate_scores`; also `fired`, a list of {`request`, `forget`, `retain`}: the share of
            held-out forget and of retained prompts on which that request's gate opened.
        tradeoff: see `figures.tradeoff`; also `n_forget`, `n_retain` and `runs`.
        diagnosis: {`check`, `result`, `verdict`} each, verdict one of pass, warn, fail; `note` optional.
        cost: name of a stage to a number or to {`seconds`, `peak_mib`, ...}.
        limits_text: what the result does not mean; paragraphs are parted by empty lines.
        pgd_history: mean target log-probability at every step of the adversarial search.

    Raises:
        DataError: there are no rows, or the gate scores do not fit their layers.
        SaveError: the file cannot be written.
    """
    rows: list[Row] = list(metrics.get("rows") or [])
    if not rows:
        raise DataError("the metrics have no rows, so there is nothing to report. Run the evaluation first.")
    method, runs = method_of(rows), metrics.get("runs", 1)
    html = _template().render(
        method=CONDITIONS.get(method, method),
        test_time=method in ("erased", "published"),
        verdict=_verdict(rows, method),
        conditions=[CONDITIONS.get(name, name) for name in conditions_of(rows)],
        headline=headline(rows),
        details=details(rows, method),
        cards=cards(answers, images, method),
        failures=failures(answers, method),
        gates=gates,
        gate_svg=figures.gate_scores(gates, runs) if gates else "",
        gate_counts=_gate_counts(gates) if gates else "",
        tradeoff=tradeoff,
        tradeoff_svg=figures.tradeoff(tradeoff) if tradeoff else "",
        diagnosis=diagnosis,
        cost=cost_table(cost),
        pgd_svg=figures.pgd_history(pgd_history) if pgd_history else "",
        pgd=pgd_history,
        limits=[part for part in limits_text.split("\n\n") if part.strip()],
        runs=runs,
        seed=metrics.get("seed"),
        environment=metrics.get("environment") or {},
        points=figures.POINTS,
    )
    return save(Path(out_dir) / "report.html", html)


def _verdict(rows: Sequence[Row], method: str) -> list[str]:
    table = {(row["condition"], row["split"]): row for row in rows}

    def rate(split: str, name: Rate, condition: str = method) -> str | None:
        row = table.get((condition, split))
        return None if row is None or row[name] is None else f"{percent(row[name])}\u00a0%"

    def beside(split: str, name: Rate) -> str:
        base = rate(split, name, "base")
        return f" (base model {base})" if base else ""

    forgotten = next((split for split in ("forget_heldout", "forget_fit") if (method, split) in table), None)
    sentences: list[str] = []
    if forgotten:
        people = table[method, forgotten]["n_subjects"]
        wordings = "in wordings and views that the fit never saw" if forgotten == "forget_heldout" else "as fitted"
        sentences.append(
            f"Asked about {people} forgotten {'person' if people == 1 else 'people'} {wordings}, the model refuses "
            f"{rate(forgotten, 'refusal')} of questions{beside(forgotten, 'refusal')} and gives the fact away in "
            f"{rate(forgotten, 'leak')}{beside(forgotten, 'leak')}."
        )
        never = rate(forgotten, "leak", "never_knew")
        if never:
            sentences.append(f"A model that never knew them hits the fact by chance in {never}.")
    if rate("retain_unseen", "accuracy"):
        wrongly = rate("retain_unseen", "refusal")
        sentences.append(
            f"People it should keep and never saw in the fit are answered right in {rate('retain_unseen', 'accuracy')}"
            f"{beside('retain_unseen', 'accuracy')} and refused in {wrongly}{beside('retain_unseen', 'refusal')}."
        )
    if rate("visible", "accuracy"):
        sentences.append(
            f"What is plainly visible in the forgotten people's own images is still answered right in "
            f"{rate('visible', 'accuracy')}{beside('visible', 'accuracy')}."
        )
    return sentences


def _gate_counts(gates: Mapping[str, Any]) -> str:
    return f"n = {len(gates['forget'][0])} forget and {len(gates['retain'][0])} retained prompts per layer"


def _template() -> Any:
    source = files("unsee.evals").joinpath("report.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        source
    )
