"""What a run says while it goes: metrics, throughput, profile, parameter table."""
