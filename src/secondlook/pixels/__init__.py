"""Images and crops: how they are read, cut, compared and decoded ahead of their use."""
