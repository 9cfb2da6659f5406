"""Files: the records that stages hand each other, and the formats in which they and others are written."""
