"""Text from files and folders whose bytes need not be UTF-8."""


def legible(text: str) -> str:
    """Return `text` with every character that UTF-8 cannot carry shown as a backslash escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_legible(text: str) -> bool:
    """Tell whether `text` can be written as UTF-8."""
    return text == legible(text)
