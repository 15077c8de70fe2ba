"""The installed command `robustjax`, and what it shares with the studies."""
