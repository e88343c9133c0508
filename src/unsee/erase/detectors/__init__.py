"""What an answer does, by rules: decline, read as text, give a fact away. For choosing, never for scoring.

The fit asks these of calibration answers when it chooses how to refuse. What was chosen with them is scored with
`unsee.metrics.detectors`, which work otherwise; docs/metrics.md says how well either agrees with answers read by hand.
"""

from unsee.erase.detectors.fluency import is_fluent
from unsee.erase.detectors.leak import leaks
from unsee.erase.detectors.refusal import is_refusal

__all__ = ["is_fluent", "is_refusal", "leaks"]
