"""`unsee ui`: the method in a browser, for people who would rather look than read."""
