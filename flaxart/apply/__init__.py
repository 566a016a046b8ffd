"""Values that people have accepted, taken back into the museum's own table."""
