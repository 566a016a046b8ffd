"""Tests of the decoder on every kind of picture, written here byte by byte."""
