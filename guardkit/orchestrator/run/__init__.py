"""`guardkit run`: any command, whose output, input and signals pass, and whose build is told."""
