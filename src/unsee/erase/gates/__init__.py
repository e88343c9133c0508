"""When to steer: each gate is a file with its tensors, its fit and its rule."""
