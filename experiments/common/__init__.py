"""What all launchers share: flags, run folders, plots, tables."""
