"""What an answer is once the gate is open: steered, begun by fixed words, or fixed words alone; known by its kind."""

from unsee.erase.replies import canned, prefix, steer

__all__ = ["canned", "prefix", "steer"]
