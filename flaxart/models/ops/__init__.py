"""How convolutions and pooling are lowered on a CPU. Optional reading: values are XLA's own."""
