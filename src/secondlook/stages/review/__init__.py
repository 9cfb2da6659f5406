"""Stage `review`: the doubtful objects go to people on pages that need no network, and their decisions come back."""

from secondlook.stages.review.apply import apply_decisions
from secondlook.stages.review.page import write_pages
from secondlook.stages.review.server import serve

__all__ = ["apply_decisions", "serve", "write_pages"]
