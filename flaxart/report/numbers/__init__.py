"""From workdirs to numbers: runs, experiments, intervals, differences."""
