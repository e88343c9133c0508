"""From captured states to direction, gates, thresholds and coefficients."""
