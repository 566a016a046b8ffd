"""Names for pictures that are not catalogued yet."""
