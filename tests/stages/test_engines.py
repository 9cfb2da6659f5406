"""Engines that answer elsewhere: `transformers serve` for real, a server that misbehaves, and a vLLM that is not there.

The images shown to the real server are squares of the tile size: others are tiled by the processor's defaults there.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch

from chat_server import Content, Say, Site, likely, says, serve
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError, UsageError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.models import vlm
from secondlook.models.prompt import ask
from secondlook.pixels import images
from secondlook.stages.label.vlm.engine import Answer
from secondlook.stages.label.vlm.openai_engine import OpenaiEngine
from secondlook.stages.label.vlm.transformers_engine import TransformersEngine
from secondlook.stages.label.vlm.vllm_engine import VllmEngine
from tiny_vlms import tiny_internvl

SIGNS = Taxonomy({"stop": ("halt",), "yield": (), "no entry": ()})
NAMES = ask("Which sign?", SIGNS, "names")
LETTERS = ask("Which sign?", SIGNS, "letters")
KEY = "sk-very-secret-0123456789"
HOSTILE = ['say "stop"', "{braces} [and] \\back\\", "two\nlines", "禁止通行", "<|im_end|>", "🛑 é ¥"]


def noise(seed: int = 0, side: int = 28) -> Pixels:
    """Return a square of noise."""
    return np.random.default_rng(seed).integers(0, 255, size=(side, side, 3), dtype=np.uint8)


def options(url: str = "http://127.0.0.1:9/v1", *, server: dict[str, Any] | None = None, **more: Any) -> VlmOptions:
    """Return the options of an `openai` labeler that loses no time between its attempts."""
    patience = {"url": url, "backoff_s": 0.01, "timeout_s": 20.0, **(server or {})}
    return VlmOptions(
        **{"kind": "vlm", "model": "tiny", "engine": "openai", "answer": "generate", **more}, server=patience
    )


def answers(site: Site, count: int = 1, prompt: Any = NAMES, **more: Any) -> list[Answer]:
    """Return what an engine answers about `count` images."""
    engine = OpenaiEngine(options(site.url, **more))
    return engine.answer(engine.prepare([noise(seed) for seed in range(count)], prompt))


def shown_pixels(body: Content) -> Pixels:
    """Return the image inside a request."""
    head, _, encoded = body["messages"][0]["content"][0]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return images.decode_rgb(base64.b64decode(encoded))


def number(body: Content) -> int:
    """Return which of the images of `answers` a request shows."""
    return next(seed for seed in range(100) if np.array_equal(noise(seed), shown_pixels(body)))


# --- transformers serve ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Serving:
    """A server that runs, and the checkpoint that it serves."""

    url: str
    model: Path


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Run `transformers serve` with a tiny InternVL."""
    folder = tmp_path_factory.mktemp("serve")
    model = tiny_internvl(folder / "internvl")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model), "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    with (folder / "log").open("w") as log:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}/health", process, folder / "log")
            yield Serving(f"http://127.0.0.1:{port}/v1", model)
        finally:
            process.terminate()
            process.wait(timeout=120)


def wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the server answers; fails with its log when it does not within two minutes."""
    session = requests.Session()
    session.trust_env = False
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            if session.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail(log.read_text(encoding="utf-8"))


def test_a_real_server_says_what_the_model_says(serving: Serving) -> None:
    """Through HTTP, PNG and the server's own preprocessing come the tokens of the model's greedy `generate`."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(serving.model).eval()
    processor = AutoProcessor.from_pretrained(serving.model)
    engine = OpenaiEngine(options(serving.url, model=str(serving.model), max_new_tokens=12))
    images = [noise(seed) for seed in range(4)]
    said = engine.answer(engine.prepare(images, NAMES))
    expected = [generated(model, processor, each, NAMES.text) for each in images]
    assert [answer.text for answer in said] == expected
    assert len(set(expected)) > 1, "the model must look at the image, or the test sees nothing"
    assert engine.revision == f"{serving.url} {serving.model}"


def generated(model: Any, processor: Any, pixels: Pixels, text: str) -> str:
    """Return what a model generates greedily, 12 tokens at most."""
    from PIL import Image

    turn = [{"type": "image", "image": Image.fromarray(pixels)}, {"type": "text", "text": text}]
    how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    inputs = processor.apply_chat_template([{"role": "user", "content": turn}], **how)
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    return str(processor.decode(tokens, skip_special_tokens=True))


def test_a_real_server_that_ignores_the_schema_is_told_of(serving: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    """`response_format` is ignored with status 200 there, so its text comes back as it is."""
    chosen = options(serving.url, model=str(serving.model), answer="choose", server={"structured": "json_schema"})
    engine = OpenaiEngine(chosen)
    (said,) = engine.answer(engine.prepare([noise()], NAMES))
    assert said.text is not None
    assert said.error is None
    assert "does not keep to the allowed answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "prompt", "expected"),
    [
        pytest.param({"answer": "choose"}, NAMES, "structured_outputs", id="an unknown field is refused with its name"),
        pytest.param({"answer": "generate", "model": "other"}, NAMES, "pinned", id="another model is refused"),
    ],
)
def test_a_real_server_refuses(serving: Serving, more: dict[str, Any], prompt: Any, expected: str) -> None:
    """A refusal is the error of its image, in the server's words."""
    engine = OpenaiEngine(options(serving.url, **{"model": str(serving.model), **more}))
    (said,) = engine.answer(engine.prepare([noise()], prompt))
    assert expected in (said.error or "")


def test_a_real_server_without_likelihoods_cannot_score(serving: Serving) -> None:
    """`logprobs` are ignored there."""
    engine = OpenaiEngine(options(serving.url, model=str(serving.model), answer="score", options="letters"))
    with pytest.raises(DataError, match=r"answer: choose.*answer: generate"):
        engine.answer(engine.prepare([noise()], LETTERS))


# --- what is sent ----------------------------------------------------------------------------------------------------

CHOICE = {"structured_outputs": {"choice": [wording for wording, _ in NAMES.wordings]}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({"max_new_tokens": 9}, {"temperature": 0.0, "max_tokens": 9}, id="generate"),
        pytest.param(
            {"decoding": "paper", "max_new_tokens": 9, "seed": 5},
            {"temperature": 1.0, "max_tokens": 9, "seed": 5},
            id="as published",
        ),
        pytest.param({"answer": "choose"}, {"temperature": 0.0, "max_tokens": 64, **CHOICE}, id="choose"),
        pytest.param(
            {"answer": "choose", "max_new_tokens": 1},
            {"temperature": 0.0, "max_tokens": len('{"label": "No entry"}'), **CHOICE},
            id="no allowed answer is cut off",
        ),
    ],
)
def test_request(more: dict[str, Any], expected: dict[str, Any]) -> None:
    """A request holds the model, the limits of the answer, the image without loss, and the prompt."""
    with serve(lambda _: says("stop")) as site:
        answers(site, **more)
    (body,) = site.bodies
    assert np.array_equal(shown_pixels(body), noise())
    assert body.pop("messages")[0]["content"][1] == {"type": "text", "text": NAMES.text}
    assert body == {"model": "tiny", **expected}


def test_a_prompt_without_an_image() -> None:
    """The prior of a prompt is asked for with its text alone."""
    with serve(lambda _: likely(("A", -0.1))) as site:
        engine = OpenaiEngine(options(site.url, answer="score", options="letters"))
        engine.answer(engine.prepare([None], LETTERS))
    assert [part["type"] for part in site.bodies[0]["messages"][0]["content"]] == ["text"]


def test_letters_score_alike_here_and_on_a_server_with_the_same_model(internvl: str) -> None:
    """A server that tells the likelihoods of first tokens gives the votes that this process gives."""
    here = TransformersEngine(
        VlmOptions(kind="vlm", model=internvl, answer="score", options="letters", precision="float32"), internvl
    )
    loaded = vlm.load(internvl, revision=None, precision="float32", device="cpu")

    def compute(body: Content) -> Say:
        assert body["messages"][0]["content"][1]["text"] == LETTERS.text
        inputs = here.prepare([shown_pixels(body)], LETTERS).inputs
        with torch.inference_mode():
            log_p = loaded.model(**inputs).logits[0, -1].log_softmax(-1)
        names = loaded.processor.tokenizer.convert_ids_to_tokens(range(len(log_p)))
        return likely(*((str(name), float(value)) for name, value in zip(names, log_p, strict=True)))

    images = [noise(seed) for seed in range(6)]
    expected = here.answer(here.prepare(images, LETTERS))
    with serve(compute) as site:
        found = answers(site, len(images), LETTERS, answer="score", options="letters")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.log_p is not None
        assert theirs.log_p is not None
        np.testing.assert_allclose(ours.log_p, theirs.log_p, atol=1e-3)
        assert ours.log_p.argmax() == theirs.log_p.argmax()


@pytest.mark.parametrize("structured", ["choice", "json_schema"])
def test_hostile_names_arrive_and_come_back(structured: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Quotes, braces, newlines and any script survive the JSON both ways."""
    prompt = ask("Which?", Taxonomy.of_names(HOSTILE), "names")
    wordings = [wording for wording, _ in prompt.wordings]

    def obey(body: Content) -> Say:
        label = allowed(body)[number(body)]
        return says(label if structured == "choice" else json.dumps({"label": label}))

    with serve(obey) as site:
        said = answers(site, len(wordings), prompt, answer="choose", server={"structured": structured})
    assert [answer.text for answer in said] == wordings
    assert all(allowed(body) == wordings for body in site.bodies)
    assert capsys.readouterr().err == ""


def allowed(body: Content) -> list[str]:
    """Return the allowed answers that a request names."""
    if "structured_outputs" in body:
        return list(body["structured_outputs"]["choice"])
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["label"]
    return list(schema["properties"]["label"]["enum"])


# --- what comes back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structured", "text", "expected", "warns"),
    [
        pytest.param("choice", "stop", "stop", False, id="obeyed"),
        pytest.param("choice", " Stop\n", " Stop\n", False, id="white space is no disobedience"),
        pytest.param("choice", "I see a stop sign.", "I see a stop sign.", True, id="ignored: a sentence"),
        pytest.param("json_schema", '{"label": "halt"}', "halt", False, id="schema obeyed"),
        pytest.param("json_schema", '{"label": "bus"}', '{"label": "bus"}', True, id="schema with another word"),
        pytest.param("json_schema", "stop", "stop", False, id="schema ignored, but a wording"),
        pytest.param("json_schema", '["stop"]', '["stop"]', True, id="another JSON"),
        pytest.param("choice", None, "", True, id="no text, as reasoning models end"),
    ],
)
def test_choose(
    capsys: pytest.CaptureFixture[str], structured: str, text: str | None, expected: str, warns: bool
) -> None:
    """A text that is not allowed is returned as it is, and said once for the whole run."""
    with serve(lambda _: says(text)) as site:
        engine = OpenaiEngine(options(site.url, answer="choose", server={"structured": structured}))
        for _ in range(2):
            said = engine.answer(engine.prepare([noise(), noise(1)], NAMES))
            assert [answer.text for answer in said] == [expected, expected]
    assert capsys.readouterr().err.count("does not keep to the allowed answers") == warns


def test_score_adds_the_spellings_of_a_letter() -> None:
    """ " A", "A" and their tokenizer spellings are one answer; the order of the options is undone."""
    prompt = ask("Which?", SIGNS, "letters", turn=1)  # A is `yield`, B `no entry`, C `stop`
    tokens = [(" A", np.log(0.5)), ("A", np.log(0.25)), ("\u2581C", np.log(0.125)), ("the", np.log(0.1)), ("AB", -9.0)]
    with serve(lambda _: likely(*tokens)) as site:
        (said,) = answers(site, prompt=prompt, answer="score", options="letters")
    assert said.text == " A"
    assert said.log_p is not None
    assert said.log_p.dtype == np.float32
    assert np.exp(said.log_p) == pytest.approx([0.125, 0.75, 0.0])
    assert (site.bodies[0]["max_tokens"], site.bodies[0]["top_logprobs"], site.bodies[0]["logprobs"]) == (1, 20, True)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(says("A"), id="absent"),
        pytest.param(says("A", logprobs=None), id="null"),
        pytest.param(says("A", logprobs={"content": []}), id="empty"),
        pytest.param(says("A", logprobs={"content": [{"token": "A", "top_logprobs": []}]}), id="no top"),
    ],
)
def test_score_needs_likelihoods(reply: Say) -> None:
    """A server that tells no likelihoods is of no use for `score`, and the way out is named."""
    with serve(lambda _: reply) as site, pytest.raises(DataError, match=r"answer: choose.*answer: generate"):
        answers(site, prompt=LETTERS, answer="score", options="letters")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        pytest.param(NAMES, "score letters only", id="names"),
        pytest.param(
            ask("?", Taxonomy.of_names(map(str, range(21))), "letters"), "21 classes", id="more than servers tell of"
        ),
    ],
)
def test_what_cannot_be_scored(prompt: Any, message: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(UsageError, match=message):
        OpenaiEngine(options(answer="score", options="letters")).prepare([noise()], prompt)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(Say(400, {"error": {"message": "too long"}}), "too long", id="400 in the words of OpenAI"),
        pytest.param(Say(422, {"detail": "bad field"}), "bad field", id="422 in the words of FastAPI"),
        pytest.param(Say(400, b"<html>\n no\n</html>"), "<html> no </html>", id="400 with anything else"),
        pytest.param(Say(400, {"error": "x" * 999}), "x" * 200, id="cut off"),
        pytest.param(Say(400, {"error": f"your key {KEY}"}), "your key ...", id="without the key"),
        pytest.param(Say(200, b"<html>"), "the server sent no JSON object.", id="no JSON"),
        pytest.param(Say(200, {"choices": []}), "the server's answer contains no choice.", id="no choice"),
        pytest.param(Say(500, {"error": "cuda"}), "it answered 500 (3 times in a row): cuda", id="500 again and again"),
    ],
)
def test_one_image_fails(monkeypatch: pytest.MonkeyPatch, reply: Say, expected: str) -> None:
    """The others are answered, each in its place."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def answer(body: Content) -> Say:
        return reply if number(body) == 1 else says(f"image {number(body)}")

    with serve(answer) as site:
        said = answers(site, 3, server={"attempts": 3})
    assert [each.text for each in said] == ["image 0", None, "image 2"]
    assert (said[1].error or "").endswith(expected)
    assert said[0].error is None


# --- the way there ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([Say(500)] * 5, id="500 five times, then gone"),
        pytest.param([Say(408), Say(409), Say(429), Say(502), Say(503)], id="everything that may pass"),
    ],
)
def test_trouble_that_passes(trouble: list[Say]) -> None:
    """Six attempts are enough for five failures, and nothing of them is in the answer."""
    with serve(lambda _: says("stop"), list(trouble)) as site:
        assert answers(site) == [Answer(text="stop")]
    assert len(site.bodies) == 6
    assert all(body == site.bodies[0] for body in site.bodies)


def test_retry_after_is_honoured() -> None:
    """The second request comes when the server wants it, though the backoff is shorter."""
    with serve(lambda _: says("stop"), [Say(429, headers={"Retry-After": "1"})]) as site:
        assert answers(site)[0].text == "stop"
    assert site.times[1] - site.times[0] >= 1.0


def closed_port() -> str:
    """Return an address at which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        pytest.param(None, ["no connection (2 times in a row)", "vllm serve tiny"], id="nobody there"),
        pytest.param(Say(after_s=3.0), ["no answer within 0.2 s", "timeout_s"], id="too slow"),
        pytest.param(Say(401, {"error": f"Incorrect key {KEY}"}), ["status 401", "MY_KEY holds one"], id="wrong key"),
        pytest.param(Say(403), ["status 403", "MY_KEY"], id="forbidden"),
        pytest.param(Say(404), ["`tiny`", "/v1", "status 404"], id="no such model"),
        pytest.param(Say(429), ["it answered 429 (2 times", "parallel"], id="always too many"),
        pytest.param(Say(503), ["it answered 503 (2 times", "vllm serve"], id="never ready"),
        pytest.param(Say(429, headers={"Retry-After": "7200"}), ["asks to wait 7200 s"], id="come back tomorrow"),
        pytest.param(Say(500, {"error": "boom"}), ["it answered 500 (2 times in a row): boom"], id="never worked"),
        pytest.param(Say(307, headers={"Location": "http://127.0.0.1:9/"}), ["answered 307"], id="sends elsewhere"),
    ],
)
def test_server_of_no_use(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], reply: Say | None, parts: list[str]
) -> None:
    """One sentence names the address and the way out, and the key stands nowhere."""
    monkeypatch.setenv("MY_KEY", KEY)
    with serve(lambda _: reply or Say()) as site:
        if reply is None:
            site.url = closed_port()
        server = {"attempts": 2, "timeout_s": 0.2 if reply and reply.after_s else 20.0, "api_key_env": "MY_KEY"}
        with pytest.raises(DataError) as caught:
            answers(site, 3, server=server)
    message = str(caught.value)
    assert site.url in message
    assert [part for part in parts if part not in message] == [], message
    assert KEY not in message + repr(caught.value.__cause__) + "".join(capfd.readouterr())


def test_the_key_is_sent_and_nothing_else_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from the variable that is named; without one no header is sent."""
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serve(lambda _: says("stop")) as site:
        engine = OpenaiEngine(options(site.url, server={"api_key_env": "MY_KEY"}))
        said = engine.answer(engine.prepare([noise()], NAMES))
        answers(site)
    assert [headers.get("Authorization") for headers in site.headers] == [f"Bearer {KEY}", None]
    assert KEY not in repr((said, engine.revision, site.bodies))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://user:word@gpu.example/v1/", "http://gpu.example/v1 tiny", id="user and password"),
        pytest.param("https://gpu.example/v1?token=abc", "https://gpu.example/v1?token=... tiny", id="query"),
    ],
)
def test_revision_holds_no_credentials(url: str, expected: str) -> None:
    """What is written into the metadata may be shown to anybody."""
    assert OpenaiEngine(options(url)).revision == expected


@pytest.mark.parametrize("url", ["http://", "http://[::1/v1", "http://gpu:port/v1"])
def test_what_is_no_address(url: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(UsageError, match="is not the address"):
        OpenaiEngine(options(url))


def test_a_key_that_no_header_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, its content is not."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ключ")
    with pytest.raises(DataError, match="OPENAI_API_KEY") as caught:
        OpenaiEngine(options())
    assert "sk-" not in str(caught.value)


def test_proxies_do_not_stand_before_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment cannot reach this machine's own server."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed_port())
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serve(lambda _: says("stop")) as site:
        assert answers(site)[0].text == "stop"


@pytest.mark.parametrize(("parallel", "images"), [(1, 3), (4, 12)])
def test_requests_run_side_by_side(parallel: int, images: int) -> None:
    """As many as `parallel` are on their way at once, never more, and the answers keep the order of the images."""
    together = threading.Barrier(parallel, timeout=60)

    def answer(body: Content) -> Say:
        seen = number(body)
        together.wait()
        time.sleep(0.15 if seen % 2 == 0 else 0.05)
        return says(str(seen))

    with serve(answer) as site:
        said = answers(site, images, server={"parallel": parallel})
    assert [each.text for each in said] == [str(seed) for seed in range(images)]
    assert site.most == parallel


def test_one_refusal_of_all_ends_the_waiting_of_the_others() -> None:
    """A wrong key is told at once, though other requests would wait a minute for their next attempt."""

    def answer(body: Content) -> Say:
        return Say(401, after_s=0.2) if number(body) == 2 else Say(503, headers={"Retry-After": "60"})

    started = time.monotonic()
    with serve(answer) as site, pytest.raises(DataError, match="status 401"):
        answers(site, 4)
    assert time.monotonic() - started < 10


# --- vLLM ------------------------------------------------------------------------------------------------------------


@dataclass
class FakeVllm:
    """What a module `vllm` was asked; `say` gives the answer to each conversation."""

    say: Callable[[list[Any], dict[str, Any]], Any]
    llm: dict[str, Any] = field(default_factory=dict)
    chats: list[tuple[list[Any], dict[str, Any], Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)

    def modules(self) -> dict[str, types.ModuleType]:
        """Return the modules that stand in for vLLM 0.32."""
        fake = self

        class LLM:
            def __init__(self, **arguments: Any) -> None:
                fake.llm = arguments

            def chat(
                self,
                messages: list[Any],
                sampling_params: Any,
                *,
                use_tqdm: bool,
                mm_processor_kwargs: Any,
                **more: Any,
            ) -> list[Any]:
                assert not use_tqdm
                fake.told.append(more)
                fake.chats.append((messages, sampling_params, mm_processor_kwargs))
                return [types.SimpleNamespace(outputs=[fake.say(each, sampling_params)]) for each in messages]

        vllm, parameters = types.ModuleType("vllm"), types.ModuleType("vllm.sampling_params")
        vllm.LLM, vllm.SamplingParams = LLM, dict  # type: ignore[attr-defined]
        parameters.StructuredOutputsParams = dict  # type: ignore[attr-defined]
        return {"vllm": vllm, "vllm.sampling_params": parameters}


Install = Callable[[Callable[[list[Any], dict[str, Any]], Any]], FakeVllm]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a vLLM in place whose model says what the test wants."""

    def put(say: Callable[[list[Any], dict[str, Any]], Any]) -> FakeVllm:
        fake = FakeVllm(say)
        for name, module in fake.modules().items():
            monkeypatch.setitem(sys.modules, name, module)
        return fake

    return put


@pytest.fixture(scope="module")
def internvl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny InternVL, of which vLLM would read all and the engine reads the processor."""
    return str(tiny_internvl(tmp_path_factory.mktemp("vllm") / "internvl"))


def text(words: str, **more: Any) -> Any:
    """Return a completion of vLLM."""
    return types.SimpleNamespace(text=words, **more)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({"max_new_tokens": 7}, {"temperature": 0.0, "max_tokens": 7}, id="generate"),
        pytest.param(
            {"decoding": "paper", "max_new_tokens": 9, "seed": 3},
            {"temperature": 1.0, "max_tokens": 9, "seed": 3},
            id="as published",
        ),
        pytest.param({"answer": "choose"}, {"temperature": 0.0, "max_tokens": 64, **CHOICE}, id="choose"),
    ],
)
def test_vllm_says(install: Install, internvl: str, more: dict[str, Any], expected: dict[str, Any]) -> None:
    """Answers keep the order of the images, and vLLM is told the same as a server."""
    order = iter(["stop", "halt"])
    fake = install(lambda *_: text(next(order)))
    engine = VllmEngine(options(engine="vllm", **more), internvl)
    said = engine.answer(engine.prepare([noise(), noise(1)], NAMES))
    assert said == [Answer(text="stop"), Answer(text="halt")]
    ((conversations, sampling, _),) = fake.chats
    assert [np.array_equal(shown_pixels({"messages": each}), noise(seed)) for seed, each in enumerate(conversations)]
    assert sampling == expected
    assert engine.revision.startswith("sha256:")


@pytest.mark.parametrize(
    ("tiling", "most", "side", "largest", "told"),
    [
        pytest.param("fit", 4, 28, (True, 4), (False, 1), id="one tile is filled"),
        pytest.param("fit", 4, 56, (True, 4), (True, 4), id="four are filled"),
        pytest.param("published", 12, 28, (True, 12), (True, 12), id="as published"),
        pytest.param("published", 1, 28, (False, 1), (False, 1), id="never tiled"),
    ],
)
def test_vllm_is_told_how_to_tile(
    install: Install,
    internvl: str,
    tiling: str,
    most: int,
    side: int,
    largest: tuple[bool, int],
    told: tuple[bool, int],
) -> None:
    """It makes room for the largest image and is told of each batch how finely to look, as `transformers` does."""
    fake = install(lambda *_: text("stop"))
    engine = VllmEngine(options(engine="vllm", tiling=tiling, max_tiles=most), internvl)
    engine.answer(engine.prepare([noise(side=side)], NAMES))
    keys = ("crop_to_patches", "max_patches")
    assert fake.llm["mm_processor_kwargs"] == dict(zip(keys, largest, strict=True))
    assert fake.chats[0][2] == dict(zip(keys, told, strict=True))
    assert engine.shape_of(side, side).options == tuple((key, str(value)) for key, value in fake.chats[0][2].items())
    assert (fake.llm["limit_mm_per_prompt"], fake.llm["trust_remote_code"]) == ({"image": 1}, False)


def test_vllm_scores_letters(install: Install, internvl: str) -> None:
    """Letters are read as they are from a server."""
    entries = [(" A", np.log(0.5)), ("A", np.log(0.25)), ("B", np.log(0.2)), (None, -20.0)]
    top = {place: types.SimpleNamespace(decoded_token=token, logprob=p) for place, (token, p) in enumerate(entries)}
    fake = install(lambda *_: text(" A", logprobs=[top]))
    engine = VllmEngine(options(engine="vllm", answer="score", options="letters"), internvl)
    (said,) = engine.answer(engine.prepare([noise()], LETTERS))
    assert fake.chats[0][1] == {"temperature": 0.0, "max_tokens": 1, "logprobs": 20}
    assert said.log_p is not None
    assert np.exp(said.log_p) == pytest.approx([0.75, 0.2, 0.0])


def think_first(model: str, folder: Path, switch: str) -> str:
    """Return a copy of a model whose template opens a thought unless a `switch` of its own is false."""
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{% if message['role'] == 'assistant' %}{{ '<think></think>' }}{% endif %}{% for part in message['content'] %}"
        "{{ '<IMG_CONTEXT>' if part['type'].startswith('image') else part['text'] }}{% endfor %}{{ '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>' }}"
        f"{{% if {switch} is defined and not {switch} %}}{{{{ '</think>' }}}}{{% endif %}}{{% endif %}}",
        encoding="utf-8",
    )
    return str(folder)


@pytest.mark.parametrize(
    ("answer", "switch", "told", "said"),
    [
        pytest.param("choose", "enable_thinking", {"enable_thinking": False}, "stop", id="Qwen's switch"),
        pytest.param("generate", "thinking", {"thinking": False}, "stop", id="another's"),
        pytest.param("generate", "never", {}, "<think>stop", id="none: what it says is a thought"),
    ],
)
def test_vllm_is_told_not_to_think(
    install: Install, internvl: str, tmp_path: Path, answer: str, switch: str, told: dict[str, Any], said: str
) -> None:
    """The template of the model is rendered there with the options that it is rendered with here."""
    fake = install(lambda *_: text("stop"))
    engine = VllmEngine(options(engine="vllm", answer=answer), think_first(internvl, tmp_path / "m", switch))
    assert engine.answer(engine.prepare([noise()], NAMES)) == [Answer(text=said)]
    assert fake.told == [{"chat_template_kwargs": told} if told else {}]


def test_vllm_refuses_to_choose_for_a_model_that_thinks_first(install: Install, internvl: str, tmp_path: Path) -> None:
    """A choice would be forced upon the place where the model begins to think."""
    install(lambda *_: text("stop"))
    with pytest.raises(DataError, match="answer: generate"):
        VllmEngine(options(engine="vllm", answer="choose"), think_first(internvl, tmp_path / "m", "never"))


def test_vllm_that_does_not_constrain_is_told_of_once(
    install: Install, internvl: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old releases took unknown ways to constrain and ignored them."""
    install(lambda *_: text("a red sign"))
    engine = VllmEngine(options(engine="vllm", answer="choose"), internvl)
    for _ in range(2):
        assert engine.answer(engine.prepare([noise()], NAMES)) == [Answer(text="a red sign")]
    assert capsys.readouterr().err.count("does not keep to the allowed answers") == 1


def test_vllm_refuses_one_image(install: Install, internvl: str) -> None:
    """A batch that is refused is asked image by image, and only the one at fault gets an error."""

    def say(conversation: list[Any], _: dict[str, Any]) -> Any:
        if number({"messages": conversation}) == 1:
            raise ValueError("The prompt is too long\nwith a second line")
        return text("stop")

    install(say)
    engine = VllmEngine(options(engine="vllm"), internvl)
    said = engine.answer(engine.prepare([noise(seed) for seed in range(3)], NAMES))
    assert [answer.text for answer in said] == ["stop", None, "stop"]
    assert said[1].error == "vLLM refused it: The prompt is too long"


def test_vllm_is_not_installed(monkeypatch: pytest.MonkeyPatch, internvl: str) -> None:
    """One sentence says how to get it."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(DataError, match=r"pip install 'secondlook\[vllm\]'.*docs/vlm.md"):
        VllmEngine(options(engine="vllm"), internvl)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({}, "cannot be loaded", id="an empty folder"),
        pytest.param({"adapter_config.json": "{}"}, "LoRA adapters", id="adapters without their model"),
    ],
)
def test_vllm_cannot_load(install: Install, tmp_path: Path, files: dict[str, str], message: str) -> None:
    """What is wrong with the checkpoint is told in one sentence."""
    install(lambda *_: text("stop"))
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        VllmEngine(options(engine="vllm"), str(tmp_path))


def test_nothing_of_vllm_is_imported_with_the_package() -> None:
    """The engine's module can be read where vLLM is not installed."""
    imported = "import sys, secondlook.stages.label.vlm.vllm_engine"
    code = f"{imported}; sys.exit(any(m.split('.')[0] == 'vllm' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
