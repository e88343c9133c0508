"""Presets over `evals`: the demo, the table, the sweeps."""
