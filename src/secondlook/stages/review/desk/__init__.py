"""The desk: people decide on this machine, and each sees at once what the decisions of all have changed."""
