"""Looks at builds from outside."""
