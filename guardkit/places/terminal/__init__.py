"""Builds on a terminal, and as lines in a file."""
