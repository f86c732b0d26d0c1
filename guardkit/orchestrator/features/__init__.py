"""Builds of features: their tasks, wave by wave, and one branch of it all."""
