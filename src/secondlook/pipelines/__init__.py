"""Pipelines in addition to the main one, each in its own folder."""
