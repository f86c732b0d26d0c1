"""Builds on many machines: the progress document on NATS JetStream. Takes `guardkit[nats]`."""
