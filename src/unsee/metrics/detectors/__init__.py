"""What an answer does, for scores: decline, read as text, give a fact away.

None of these is what the fit chooses by (`unsee.erase.detectors`): refusal and fluency are weights learnt from replies
that were read by hand, the leak is an alignment of words. `tools.detectors.agreement` measures both.
"""

from unsee.metrics.detectors.fluency import is_fluent
from unsee.metrics.detectors.leak import leaks
from unsee.metrics.detectors.refusal import is_refusal

IN_USE = {"refusal": "learnt word groups 2", "fluency": "learnt neighbours 2", "leak": "aligned words 2"}
"""What results were scored with: name and version of each detector, for results files."""

__all__ = ["IN_USE", "is_fluent", "is_refusal", "leaks"]
