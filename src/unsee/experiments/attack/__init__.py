"""`unsee attack`: attacks chosen, carried out side by side on several models, and what they brought."""
