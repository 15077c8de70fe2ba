"""The core that all studies share: flags, run folders, journal, tables, plots."""
