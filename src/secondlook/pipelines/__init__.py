"""Pipelines beside the main one, each in a folder of its own."""
