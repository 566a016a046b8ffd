"""The command line of `flaxart train`: its help, and what mistakes may mean."""
