"""The stages of the main pipeline, in the order in which data flows: fetch to report."""
