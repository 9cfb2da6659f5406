"""Files: the records that stages exchange, and the formats in which they and other data are written."""
