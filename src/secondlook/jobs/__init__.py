"""What jobs share: the cache, progress that survives a kill, and training in several processes."""
