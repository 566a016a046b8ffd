"""A trunk with its heads as state: what learns, what is frozen, early stopping."""
