"""Vehicle texts in the forms that training and queries use; captions of pedestrians stay as they are."""

from secondlook.config.retrieve import CaptionForm
from secondlook.pipelines.retrieve.vehicles import article_of, bare


def written(text: str, kind: str, form: CaptionForm) -> str:
    """Return a text as a model is told it.

    A vehicle phrase keeps its article or loses it, and has words after it; a full stop is taken off both kinds.
    """
    said = text.strip()
    if kind == "vehicle":
        phrase = bare(said)
        said = phrase if form.article == "none" else f"{article_of(said)}{phrase}"
        said += form.suffix
    else:
        said = said.removesuffix(".")
    return f"{said}." if form.full_stop else said


def candidate(text: str, phrase: str, prefix: str) -> str:
    """Return a completed phrase as the released script asks for it: "This is a " or "A " before it as in `text`.

    With `prefix` "none" nothing stands before it.
    """
    if prefix == "none":
        return phrase
    return f"This is a {phrase}" if text.startswith("This") else f"A {phrase}" if text.startswith("A") else phrase
