"""Who answers: conversations in, replies out, and log-probabilities where they are offered; one file each."""

from unsee.evals.answerers.base import PLAIN, Answerer, Draw, How, Scoring, in_batches
from unsee.evals.answerers.filtered import InputFiltered, OutputFiltered
from unsee.evals.answerers.local import Local
from unsee.evals.answerers.prompted import Prompted
from unsee.evals.answerers.recorded import Recorded
from unsee.evals.answerers.switched import Switched

__all__ = [
    "PLAIN", "Answerer", "Draw", "How", "InputFiltered", "Local", "OutputFiltered", "Prompted", "Recorded", "Scoring",
    "Switched", "in_batches",
]  # fmt: skip
