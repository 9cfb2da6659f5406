"""Stage `review`: people decide on doubtful objects on pages that need no network, and the decisions are read back."""
