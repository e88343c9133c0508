"""The letters that every tensor annotation uses, and nothing else.

==  ==============================================================
B   batch rows (prompts answered together)
T   tokens of one row, pads included
D   width of the residual stream (hidden size of the decoder)
N   samples (one prompt each) behind a statistic
L   decoder layers that an artifact names
K   gates (one per forgotten subject)
F   features of a gate: one per (layer, pooling) pair it reads
S   steps of the refusal trajectory (0 = last prompt token)
R   rank of a projector or of a thin factor
P   pixels of one image (channels x height x width)
H   hidden units of an MLP
V   words of the vocabulary
U   predicted tokens of one row, T - 1
==  ==============================================================
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Tensor"]
