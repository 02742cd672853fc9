"""The command line: the outermost layer, over everything else."""
