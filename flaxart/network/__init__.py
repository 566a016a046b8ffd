"""A trunk with its heads as state: what learns, what is frozen, what val has decided."""
