"""Who answers: conversations in, replies out, and log-probabilities where they are offered; one file each."""

from unsee.evals.answerers.base import Answerer, Draw, How, Scoring
from unsee.evals.answerers.filtered import InputFiltered, OutputFiltered
from unsee.evals.answerers.local import Local
from unsee.evals.answerers.prompted import Prompted

__all__ = ["Answerer", "Draw", "How", "InputFiltered", "Local", "OutputFiltered", "Prompted", "Scoring"]
