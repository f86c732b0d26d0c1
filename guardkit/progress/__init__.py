"""What a build writes and a reader reads."""
