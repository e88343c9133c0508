"""Replies read by hand, how well detectors and judge agree with them, and the fit of the detectors."""
