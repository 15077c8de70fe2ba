"""What the label-correction launchers share."""
