"""An erasure request from a name and images: what the model says today, the eraser, and what it says then."""
