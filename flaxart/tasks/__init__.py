"""Tasks: kinds, losses, counts, scores."""
