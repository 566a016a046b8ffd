"""ImageNet weights: where they are found, how they become ours, and how they are loaded."""
