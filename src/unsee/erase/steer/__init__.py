"""The effect: what a block does to the calls of a model."""
