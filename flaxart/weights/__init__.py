"""ImageNet weights: finding, downloading, converting and loading them."""
