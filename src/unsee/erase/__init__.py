"""The method: capture, direction, gate, calibration, and the hooks that act on a model."""
