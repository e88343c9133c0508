"""What an answer is once the gate is open: steered, begun by fixed words, or fixed words alone."""
