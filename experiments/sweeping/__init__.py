"""Many runs of one study: a grid of flags, on one machine or many."""
