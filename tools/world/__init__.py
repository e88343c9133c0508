"""How the shipped checkpoints were taught."""
