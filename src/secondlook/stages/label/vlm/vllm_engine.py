"""Engine `vllm`: the model runs in this process under vLLM, which is installed in an environment of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError, first_line
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.models import chat_template, hub
from secondlook.models.checkpoints import fetch_hint, load_errors, revision_of
from secondlook.models.native import require_known_code
from secondlook.models.prompt import Prompt
from secondlook.models.resolution import image_options
from secondlook.stages.label.vlm import chat
from secondlook.stages.label.vlm.engine import Answer, Engine, Shape

_LARGEST_PX = 1 << 14  # a side at which every limit on tiles and pixels is reached
_AS_LONG_AS_FITS = -1


@dataclass(frozen=True)
class Prepared:
    """A prompt, one conversation per image, and the options of the image processor for all of them."""

    prompt: Prompt
    conversations: list[list[dict[str, Any]]]
    image_options: dict[str, Any] | None


class VllmEngine(Engine):
    """The offline class of vLLM; images come as messages, so that the chat template of the model applies."""

    def __init__(self, options: VlmOptions, model: str) -> None:
        try:
            self._vllm = import_module("vllm")
            self._parameters = import_module("vllm.sampling_params")
        except ImportError as error:
            raise DataError(
                "engine `vllm` needs `pip install 'secondlook[vllm]'` in an environment of its own; see docs/vlm.md."
            ) from error
        _require_whole_model(model)
        require_known_code(model)
        hub.rely_on_cache(model, options.revision)
        self._options = options
        self._warned = False
        try:
            self._processor = _processor(model, options.revision)
            chat_template.require_usable(self._processor, model)
            if options.answer != "generate":
                chat_template.require_answers_at_once(self._processor)
            self._llm = self._vllm.LLM(**self._llm_options(model))
        except _errors() as error:
            raise DataError(fetch_hint(model, error)) from error
        self.revision = _revision(self._llm, model)

    def shape_of(self, width: int, height: int) -> Shape:
        """Return the options of the image processor for an image of that size in px; vLLM handles the lengths."""
        return Shape(tuple((key, str(value)) for key, value in self._image_options(width, height).items()))

    def prepare(self, images: Sequence[Pixels | None], prompt: Prompt) -> Prepared:
        """Return images of the same shape as conversations; raises UsageError for answers that cannot be scored."""
        if self._options.answer == "score":
            chat.require_letters(prompt)
        text = chat_template.harmless(prompt.text, chat_template.control_tokens(self._processor))
        conversations = [[chat.message(image, text)] for image in images]
        first = next((image for image in images if image is not None), None)
        image_options = {} if first is None else self._image_options(first.shape[1], first.shape[0])
        return Prepared(prompt, conversations, image_options or None)

    def answer(self, prepared: Prepared) -> list[Answer]:
        """Answer a batch; an image that vLLM refuses gets an `error`."""
        outputs = self._chat(prepared.conversations, prepared.image_options, self._sampling(prepared.prompt))
        answers = [self._read(output, prepared.prompt) for output in outputs]
        if self._options.answer == "choose":
            self._warn_of_free_answers(answers, prepared.prompt)
        return answers

    def _llm_options(self, model: str) -> dict[str, Any]:
        return {
            "model": model,
            "revision": self._options.revision,
            "tokenizer_revision": self._options.revision,
            "trust_remote_code": False,
            "dtype": self._options.precision,
            "seed": self._options.seed,
            "max_model_len": _AS_LONG_AS_FITS,
            "max_logprobs": chat.TOP_TOKENS,
            "enable_prefix_caching": True,
            "limit_mm_per_prompt": {"image": 1},
            "mm_processor_kwargs": self._image_options(_LARGEST_PX, _LARGEST_PX) or None,
        }

    def _image_options(self, width: int, height: int) -> dict[str, Any]:
        return image_options(self._processor, width, height, self._options.tiling, self._options.max_tiles)

    def _sampling(self, prompt: Prompt) -> Any:
        extras: dict[str, Any] = {}
        if self._options.answer == "score":
            extras["logprobs"] = chat.TOP_TOKENS
        elif self._options.answer == "choose":
            wordings = [wording for wording, _ in prompt.wordings]
            extras["structured_outputs"] = self._parameters.StructuredOutputsParams(choice=wordings)
        return self._vllm.SamplingParams(**chat.sampling(self._options, prompt), **extras)

    def _chat(self, conversations: list[list[dict[str, Any]]], image_options: Any, sampling: Any) -> list[Any]:
        """Return the outputs; when a batch is refused, each conversation alone, and the error of those that fail."""
        template = dict(chat_template.options(self._processor))
        how = {"mm_processor_kwargs": image_options} | ({"chat_template_kwargs": template} if template else {})
        try:
            return list(self._llm.chat(conversations, sampling, use_tqdm=False, **how))
        except ValueError as error:
            if len(conversations) == 1:
                return [error]
        return [self._chat([each], image_options, sampling)[0] for each in conversations]

    def _read(self, output: Any, prompt: Prompt) -> Answer:
        if isinstance(output, ValueError):
            return Answer(error=f"vLLM refused it: {first_line(output)}")
        completion = output.outputs[0]
        if self._options.answer != "score":
            return Answer(text=chat_template.opened_thought(self._processor) + completion.text)
        tokens = [(entry.decoded_token or "", entry.logprob) for entry in completion.logprobs[0].values()]
        return Answer(log_p=chat.letter_log_p(tokens, prompt), text=completion.text)

    def _warn_of_free_answers(self, answers: Sequence[Answer], prompt: Prompt) -> None:
        texts = [answer.text for answer in answers if answer.text is not None]
        if self._warned or all(chat.is_allowed(text, prompt) for text in texts):
            return
        self._warned = True
        progress.say("label: this vLLM does not keep to the allowed answers; they are read as free text")


def _require_whole_model(model: str) -> None:
    if (Path(model) / "adapter_config.json").is_file():
        raise DataError(
            f"{model}: holds LoRA adapters, which engine `vllm` does not read; set `engine: transformers`, or train "
            "with `method: full`."
        )


def _errors() -> tuple[type[Exception], ...]:
    return (*load_errors(), ImportError, TypeError, AttributeError)


def _processor(model: str, revision: str | None) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(model, revision=revision, trust_remote_code=False)


def _revision(llm: Any, model: str) -> str:
    """Return the commit of a Hub model, the digest of a local folder."""
    config = getattr(getattr(llm, "model_config", None), "hf_config", None)
    return revision_of(model, getattr(config, "_commit_hash", None))
