"""Proof that the engine decides and answers as the library does."""
