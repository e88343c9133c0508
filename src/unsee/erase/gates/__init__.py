"""When to steer: each gate is a file with its tensors, its fit and its rule, and is known by its kind."""

from unsee.erase.gates import null_space, prompt_ridge, subject

__all__ = ["null_space", "prompt_ridge", "subject"]
