"""`python -m secondlook` is `secondlook`."""

from secondlook.cli import main

main()
