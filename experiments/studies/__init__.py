"""One room per study: its settings, data, cells and pictures."""
