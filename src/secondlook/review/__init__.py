"""Stage `review`: the doubtful objects go to people on pages that need no network, and their decisions come back."""

from secondlook.review.apply import apply_decisions
from secondlook.review.page import write_pages
from secondlook.review.server import serve

__all__ = ["apply_decisions", "serve", "write_pages"]
