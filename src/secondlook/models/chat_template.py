"""Chat templates of VLMs: whether one can show an image with a prompt, where an answer begins and how a turn ends."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondlook.base.errors import DataError, first_line

Turn = dict[str, Any]
Options = Mapping[str, Any]
_ASKED, _ANSWERED = "QUESTIONMARK", "ANSWERMARK"
_THINKING_SWITCH = re.compile(r"\b(?:enable_)?thinking\b")  # the two names that templates have for it
_TAG = re.compile(r"[<\[{]\S+[>\]}]")
_THINKING = re.compile(r"<(think|thinking|thought|reasoning)>\s*$")


@dataclass(frozen=True)
class Frame:
    """What a template writes around an answer.

    `prompt` is the text up to where the model goes on. `before` is the text up to the answer in the whole conversation,
    `after` the text that follows it. `options` are those that the template was rendered with.
    """

    prompt: str
    before: str
    after: str
    options: Options

    @property
    def begins_with_the_answer(self) -> bool:
        """Whether the model is to go on with the answer, white space aside."""
        return self.before.startswith(self.prompt) and not self.before[len(self.prompt) :].strip()


def user_turn(text: str, image: Any = None) -> Turn:
    """Return a prompt, after its image if it has one."""
    shown = [] if image is None else [{"type": "image", "image": image}]
    return {"role": "user", "content": [*shown, {"type": "text", "text": text}]}


def conversation(answer: str) -> list[Turn]:
    """Return a fixed prompt and its answer as a template takes them."""
    return [user_turn(_ASKED), {"role": "assistant", "content": [{"type": "text", "text": answer}]}]


def require_usable(processor: Any, name: str) -> None:
    """Raise DataError for a model whose template cannot show an image with a prompt."""
    if getattr(processor, "chat_template", None) is None:
        raise DataError(f"{name}: has no chat template, so it cannot answer prompts; take an instruction-tuned model.")
    try:
        blind, seeing = (
            processor.apply_chat_template([user_turn(_ASKED, image)], tokenize=False, add_generation_prompt=True)
            for image in (None, "image.png")
        )
    except Exception as error:  # a template is a program that may fail in any way
        raise DataError(_unusable(name, f"fails on it ({first_line(error)})")) from error
    if blind.count(_ASKED) != 1 or "'type'" in blind:
        raise DataError(_unusable(name, "changes the prompt"))
    if blind == seeing or seeing.count(_ASKED) != 1 or "image.png" in seeing:
        raise DataError(_unusable(name, "leaves no place for the image"))


def frame(processor: Any) -> Frame:
    """Return what the template of a processor writes around an answer, with thinking switched off where needed."""
    plain = _framed(processor, {})
    if plain.begins_with_the_answer:
        return plain
    switches = set(_THINKING_SWITCH.findall(str(processor.chat_template)))
    quick = _framed(processor, dict.fromkeys(sorted(switches), False))
    return quick if quick.begins_with_the_answer else plain


def require_answers_at_once(processor: Any) -> None:
    """Raise DataError for a template under which the model does not go on with the answer."""
    own = frame(processor)
    if not own.begins_with_the_answer:
        raise DataError(
            f"{processor.tokenizer.name_or_path}: its chat template ends a prompt in {own.prompt[-40:]!r} but writes "
            f"{own.before[-40:]!r} before an answer, so answers cannot be scored, chosen or trained; set "
            "`answer: generate`, or take a model that answers immediately."
        )


def options(processor: Any) -> Options:
    """Return the options under which the template is rendered."""
    return frame(processor).options


def opened_thought(processor: Any) -> str:
    """Return the tag of a thought that the template opens for the model and does not close; usually empty."""
    match = _THINKING.search(frame(processor).prompt)
    return match.group().strip() if match else ""


def control_tokens(processor: Any) -> list[str]:
    """Return the tokens that mean something to the model or its processor, the longest first.

    Those are the special ones, the placeholders of the processor, and tags of the added vocabulary that the template
    itself writes. The rest of an added vocabulary (line breaks and HTML in Gemma 3) is plain text.
    """
    tokenizer = processor.tokenizer
    template = str(processor.chat_template)
    added = tokenizer.added_tokens_decoder.values()
    tokens = {str(token) for token in added if token.special or (_TAG.fullmatch(str(token)) and str(token) in template)}
    tokens.update(tokenizer.all_special_tokens)
    tokens.update(
        value for name, value in vars(processor).items() if name.endswith("_token") and isinstance(value, str)
    )
    return sorted((token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token))


def harmless(text: str, control: Sequence[str]) -> str:
    """Return a text in which control tokens are broken up, so that they control nothing."""
    for token in control:
        if token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _framed(processor: Any, how: Options) -> Frame:
    turns = conversation(_ANSWERED)
    prompt = processor.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True, **how)
    try:
        whole = processor.apply_chat_template(turns, tokenize=False, **how)
    except Exception:  # it takes no answer in this form
        whole = ""
    before, _, after = whole.rpartition(_ANSWERED)
    return Frame(prompt, before, after, how)


def _unusable(name: str, why: str) -> str:
    return (
        f"{name}: its chat template cannot show an image with a prompt: it {why}; take a vision-language model, "
        "or give its folder the template of one."
    )
