"""Names for pictures that nobody has catalogued yet."""
