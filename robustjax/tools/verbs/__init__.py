"""What the verbs of the command do: a module each, with `main`."""
