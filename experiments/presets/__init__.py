"""Named settings: what a paper used, or what a small machine can run."""
