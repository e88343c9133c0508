"""What an answer does, for scores: decline, read as text, give a fact away."""

from unsee.erase.detectors import is_fluent, is_refusal, leaks

__all__ = ["is_fluent", "is_refusal", "leaks"]
