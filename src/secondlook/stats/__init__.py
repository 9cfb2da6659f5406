"""Statistics: intervals, bootstrap, cross-fitting, bounds, label errors, and the methods of the consensus."""
