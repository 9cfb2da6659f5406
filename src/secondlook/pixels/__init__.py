"""Images and crops: how they are read, cut, compared and prefetched."""
