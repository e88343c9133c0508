"""Ways to get at what was forgotten, one file each: what the attacker needs, how often he asks, what he has then."""
