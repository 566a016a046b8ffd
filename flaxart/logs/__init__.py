"""Logs of a run: metrics, throughput, profile, parameter table."""
