"""Scores of a split, baselines, calibration, and `results.json`."""
