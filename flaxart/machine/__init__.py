"""The machine a run is on: devices, processes, signals, memory, locks, files."""
