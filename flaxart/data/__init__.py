"""Data: a prepared dataset -> host batches -> augmentation on the device.

This file imports nothing: what runs in a data worker must not load `augment`, which needs JAX.
"""
