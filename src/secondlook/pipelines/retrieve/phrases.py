"""Vehicle texts in the forms that training and queries use; captions of pedestrians stay as they are."""

from secondlook.config.retrieve import CaptionForm
from secondlook.pipelines.retrieve.vehicles import article_of, bare


def written(text: str, kind: str, form: CaptionForm) -> str:
    """Return a text in the form that the model gets.

    A vehicle phrase keeps or loses its article and gets a suffix; a full stop is added to or removed from any text.
    """
    text = text.strip()
    if kind == "vehicle":
        phrase = bare(text)
        text = phrase if form.article == "none" else f"{article_of(text)}{phrase}"
        text += form.suffix
    else:
        text = text.removesuffix(".")
    return f"{text}." if form.full_stop else text


def candidate(text: str, phrase: str, prefix: str) -> str:
    """Return a completed phrase as in the released script: after "This is a " or "A ", as in `text`.

    With `prefix` "none", or where `text` has no article, it has no prefix.
    """
    article = "" if prefix == "none" else article_of(text)
    if not article:
        return phrase
    return f"This is a {phrase}" if article[:1] in "Tt" else f"A {phrase}"
