"""Engine `openai`: a server that speaks the OpenAI protocol (vLLM, SGLang, LMDeploy, `transformers serve`)."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError, UsageError
from secondlook.config.labelers.server import ServerOptions
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.models import checkpoints
from secondlook.models.prompt import Prompt
from secondlook.stages.label.vlm import chat
from secondlook.stages.label.vlm.engine import Answer, Engine, Shape
from secondlook.stages.label.vlm.hosts import GivenHost, Host
from secondlook.stages.label.vlm.openai_wire import Reply, Wire
from secondlook.stages.label.vlm.started_host import StartedHost


@dataclass(frozen=True)
class Prepared:
    """A prompt and the bodies of its requests, one per image."""

    prompt: Prompt
    bodies: list[bytes]


class OpenaiEngine(Engine):
    """Sends each image to a server in a separate request, several at a time; the server makes the batches.

    The server decides into how many tiles an image is cut.
    """

    def __init__(self, options: VlmOptions) -> None:
        self._options = options
        self._model = options.model or ""
        self._host = host_of(options.server, self._model)
        self._wire = Wire(self._host, options.server, self._model)
        self._pool = ThreadPoolExecutor(options.server.parallel, thread_name_prefix="openai")
        self._answered = False
        self._warned = False
        self.revision = known_revision(options) or f"{self._wire.address} {self._model}"

    def begin(self, out: Path) -> None:
        """Have a server that is started from here on write its log beside `out`."""
        self._host.place(out)

    def close(self) -> None:
        """End the server that was started."""
        self._wire.stop()
        self._host.close()

    def shape_of(self, width: int, height: int) -> Shape:  # noqa: ARG002
        """Return the same shape for all: each image is a request."""
        return Shape()

    def prepare(self, images: Sequence[Pixels | None], prompt: Prompt) -> Prepared:
        """Write the requests; raises UsageError for answers that a server cannot score."""
        if self._options.answer == "score":
            chat.require_letters(prompt)
        common = {"model": self._model, **chat.sampling(self._options, prompt), **self._extras(prompt)}
        bodies = [{**common, "messages": [chat.message(image, prompt.text)]} for image in images]
        return Prepared(prompt, [json.dumps(body).encode("ascii") for body in bodies])

    def answer(self, prepared: Prepared) -> list[Answer]:
        """Send the requests and read the replies; raises DataError when the server cannot be used."""
        replies = self._send(prepared.bodies)
        answers = [self._read(reply, prepared.prompt) for reply in replies]
        self._answered |= any(reply.content is not None for reply in replies)
        if not self._answered and replies and all(reply.broken for reply in replies):
            raise DataError(f"{self._wire.address}: {replies[0].error}")
        if self._options.answer == "choose":
            self._warn_of_free_answers(answers, prepared.prompt)
        return answers

    def _send(self, bodies: Sequence[bytes]) -> list[Reply]:
        sent = [self._pool.submit(self._wire.send, body) for body in bodies]
        try:
            done, _ = wait(sent, return_when=FIRST_EXCEPTION)
            failed = next((future for future in sent if future in done and future.exception()), None)
            return [failed.result()] if failed else [future.result() for future in sent]
        except BaseException:
            self._wire.stop()
            self._pool.shutdown(wait=False, cancel_futures=True)
            raise

    def _extras(self, prompt: Prompt) -> dict[str, Any]:
        """Return the request options besides the limits of the answer."""
        if self._options.answer == "score":
            return {"logprobs": True, "top_logprobs": chat.TOP_TOKENS}
        if self._options.answer == "generate":
            return {}
        wordings = [wording for wording, _ in prompt.wordings]
        if self._options.server.structured == "choice":
            return {"structured_outputs": {"choice": wordings}}
        schema = {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": wordings}},
            "required": ["label"],
            "additionalProperties": False,
        }
        wrapped = {"name": "label", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": wrapped}}

    def _read(self, reply: Reply, prompt: Prompt) -> Answer:
        if reply.content is None:
            return Answer(error=reply.error)
        choice = _first_choice(reply.content)
        if choice is None:
            return Answer(error="the server's answer contains no choice.")
        text = _text(choice)
        if self._options.answer == "score":
            return Answer(log_p=chat.letter_log_p(self._first_tokens(choice), prompt), text=text)
        if self._options.answer == "choose" and self._options.server.structured == "json_schema":
            return Answer(text=_unwrap(text, prompt))
        return Answer(text=text)

    def _first_tokens(self, choice: Mapping[str, Any]) -> list[tuple[str, float]]:
        try:
            top = choice["logprobs"]["content"][0]["top_logprobs"]
            tokens = [(str(entry["token"]), float(entry["logprob"])) for entry in top]
        except (KeyError, IndexError, TypeError, ValueError):
            tokens = []
        if not tokens:
            raise DataError(
                f"{self._wire.address}: the server returns no likelihoods of tokens, so it cannot score; "
                "set `answer: choose` or `answer: generate`."
            )
        return tokens

    def _warn_of_free_answers(self, answers: Sequence[Answer], prompt: Prompt) -> None:
        texts = [answer.text for answer in answers if answer.text is not None]
        if self._warned or all(chat.is_allowed(text, prompt) for text in texts):
            return
        self._warned = True
        progress.say(
            f"label: {self._wire.address} does not keep to the allowed answers "
            f"(`structured: {self._options.server.structured}`); they are read as free text"
        )


def host_of(server: ServerOptions, model: str) -> Host:
    """Return the server of a labeler; raises UsageError where the config names none."""
    if server.command is not None:
        return StartedHost(server.command, server, model)
    if server.url is None:
        raise UsageError(f"engine `openai` has {server.lacks}.")
    return GivenHost(server.url, server, model)


def known_revision(options: VlmOptions) -> str | None:
    """Return the model that a command serves, as a digest for a local folder; None where the server is elsewhere."""
    return None if options.server.command is None else checkpoints.revision_of(options.model or "")


def _first_choice(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = content.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _text(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""


def _unwrap(text: str, prompt: Prompt) -> str:
    """Return the label inside `{"label": ...}`; other text is returned unchanged."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    label = content.get("label") if isinstance(content, dict) else None
    return label if isinstance(label, str) and chat.is_allowed(label, prompt) else text
