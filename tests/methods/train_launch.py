"""One small run, started by `test_training` in one process and in two."""

from dataclasses import replace
from pathlib import Path

from tiny_llava import question, tiny_llava
from trained import change_weights
from unsee.methods.settings import preset
from unsee.models.load import LoadedModel


def launched_run(out: Path) -> LoadedModel:
    """SGD, because Adam turns rounding into steps; answers of one length, because means are taken per process."""
    forget = [question(i, "who?", image=i % 2 == 0) for i in range(4)]
    retain = [
        replace(question(i + 10, "and?", image=i % 2 == 1), answer=a) for i, a in enumerate(("bo.", "cy.", "di."))
    ]
    settings = preset("npo").changed(lora=False, rate=1e-2, batch_size=2, epochs=2, trainer={"optim": "sgd"})
    return change_weights(tiny_llava(), "npo", forget, retain, out, settings=settings)


def main(out: Path) -> None:
    """What each process does."""
    launched_run(out)
