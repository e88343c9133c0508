"""The built-in world: invented people, what can be asked about them, and tiny models that know them."""
