"""TFDS builders for museum collections: prepared and read without TensorFlow."""
