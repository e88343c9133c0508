"""Judging answers and reporting what erasure did and did not do."""
