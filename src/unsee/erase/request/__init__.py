"""From what a person brings to the prompts that a fit needs."""
