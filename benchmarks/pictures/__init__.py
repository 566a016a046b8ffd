"""What the decoder makes of every kind of picture: written here, byte by byte, and read."""
