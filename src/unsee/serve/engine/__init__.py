"""What runs inside the workers of vLLM."""
