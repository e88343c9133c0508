"""`unsee sweep`: the questions that the papers ask or leave open, each one command, one table and one image."""
