"""What jobs share: the cache, what survives a kill, and training in several processes."""
