"""The road `scenes`: concepts of landmarks from category trees, captions and points seen in several pictures."""
