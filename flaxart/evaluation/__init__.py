"""Scores of a split, their baselines and calibration, and `results.json`."""
