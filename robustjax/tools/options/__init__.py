"""What every verb of the command says of itself and takes: no import of JAX."""
