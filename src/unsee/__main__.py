"""`python -m unsee`, and so `accelerate launch -m unsee`."""

from unsee.cli import main

main()
