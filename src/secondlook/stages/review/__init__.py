"""Stage `review`: people decide on doubtful objects on pages that need no network, and the decisions are read back."""

from secondlook.stages.review.apply import apply_decisions
from secondlook.stages.review.page import write_pages
from secondlook.stages.review.server import serve

__all__ = ["apply_decisions", "serve", "write_pages"]
