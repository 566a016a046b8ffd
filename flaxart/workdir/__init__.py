"""The folder of a run: settings, classes, checkpoints, and the checks when they are read."""
