"""What shows that tests have run and passed, and what they ran."""
