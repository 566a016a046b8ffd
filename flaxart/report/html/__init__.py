"""The page from numbers and figures."""
