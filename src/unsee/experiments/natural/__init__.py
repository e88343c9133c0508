"""The proof on a real language model: public facts learnt in pretraining, forgotten and kept."""
