"""Numbers from workdirs: runs, experiments, intervals, differences."""
