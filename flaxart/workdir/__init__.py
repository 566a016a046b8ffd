"""The folder of a run: settings, classes, checkpoints, and what is checked when they are read."""
