"""Labelers that are vision-language models: images and a prompt in, votes out, batch by batch."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError, UsageError, first_line
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.jobs import cache
from secondlook.jobs.ledger import Ledger
from secondlook.models import checkpoints, inference, native
from secondlook.models.prompt import Prompt, ask, ask_as_it_stands, default_prompt
from secondlook.pixels.images import UnreadableImageError
from secondlook.stages.label.vlm.engine import Engine, LogP, Shape
from secondlook.stages.label.vlm.views import Shown, shown
from secondlook.stages.label.vlm.votes import Row, failed, to_vote
from secondlook.stages.label.voter import Job, Voter

_LONGEST = 1.15  # no image of a batch has more than this many times the tokens of its shortest
_PREFETCHED = 2  # batches prepared while one is answered


@dataclass(frozen=True)
class Ready:
    """A batch whose images are read: those that can be shown, one prepared input per prompt, and the failures."""

    readable: list[Shown]
    prepared: list[Any]
    failures: dict[str, str]

    def __len__(self) -> int:
        return len(self.readable) + len(self.failures)


@dataclass(frozen=True)
class VlmVotes:
    """A vote per object, and the revision of the model."""

    votes: Sequence[Row]
    revision: str

    @property
    def made_by(self) -> Mapping[str, Any]:
        """The revision, which a server reveals only with its answers."""
        return {"revision": self.revision}

    def rows(self, labeler: str, classes: Sequence[str]) -> Iterator[Row]:  # noqa: ARG002  # the votes name them
        """Yield a vote row per object."""
        return ({"labeler": labeler, **vote} for vote in self.votes)


def vote(job: Job, options: VlmOptions) -> VlmVotes:
    """Return a vote per object; votes finished by a killed run are reused."""
    prompts = _prompts(options, job)
    if options.engine != "openai":  # then nothing is computed here, and importing PyTorch takes a second
        inference.make_deterministic(options.seed, job.threads)
    objects = shown(job.objects, options)
    engine: Engine = job.network()
    engine.begin(job.out)
    ledger = Ledger(job.out, _key(job, engine, options, prompts))
    left = [batch for batch in batches(objects, engine, options.batch_size) if not _is_done(batch, ledger)]
    priors = _priors(engine, options, prompts) if left else []
    _answer_all(left, engine, prompts, priors, options, job.taxonomy, ledger)
    rows = [ledger.rows[one.instance_id] for one in objects]
    return VlmVotes(rows, engine.revision)


def made_by(voter: Voter, options: VlmOptions) -> dict[str, Any]:
    """Return the prompt of a model, its revision if that is known before it is loaded, and the offered names.

    The revision of a model behind a server elsewhere is never known in advance.
    """
    if options.engine == "openai":
        from secondlook.stages.label.vlm.openai_engine import known_revision

        revision = known_revision(options)
    else:
        revision = checkpoints.known_revision(_model(voter, options), options.revision)
    about: dict[str, Any] = {"prompt": voter.prompt, "revision": revision}
    about |= {"as_it_stands": True} if voter.as_it_stands else {}
    return {**about, "offered": voter.offered} if voter.offered else about


def _model(voter: Voter, options: VlmOptions) -> str:
    return options.model or str(voter.learned_from)


def resolve(options: VlmOptions) -> VlmOptions:
    """Return the options with the model that is loaded; a server loads what it is told to."""
    if options.model is None or options.engine == "openai":
        return options
    model = native.to_load(options.model, revision=options.revision, strict=options.strict_ids)
    if sentence := native.instead_of(options.model):
        progress.say(f"label: {sentence}")
    return options.model_copy(update={"model": model})


def load(voter: Voter, options: VlmOptions) -> Engine:
    """Return the engine that runs or reaches the model."""
    model = _model(voter, options)
    match options.engine:
        case "transformers":
            from secondlook.stages.label.vlm.transformers_engine import TransformersEngine

            return TransformersEngine(options, model)
        case "openai":
            from secondlook.stages.label.vlm.openai_engine import OpenaiEngine

            return OpenaiEngine(options)
        case "vllm":
            from secondlook.stages.label.vlm.vllm_engine import VllmEngine

            return VllmEngine(options, model)


def close(engine: Engine) -> None:
    """End a server that the engine started."""
    engine.close()


def batches(objects: Sequence[Shown], engine: Engine, size: int) -> list[list[Shown]]:
    """Return the objects in batches of similar shape, the longest first, objects of one image together.

    The batches depend on the objects alone, so a run resumed after a kill computes the same numbers.
    """
    shapes: dict[tuple[int, int], Shape] = {}
    for one in objects:
        if (one.width, one.height) not in shapes:
            shapes[one.width, one.height] = engine.shape_of(one.width, one.height)
    shape_of = {one.instance_id: shapes[one.width, one.height] for one in objects}
    order = sorted(objects, key=lambda one: (*_descending(shape_of[one.instance_id]), one.source, one.instance_id))
    grouped: list[list[Shown]] = []
    for one in order:
        shape = shape_of[one.instance_id]
        first = shape_of[grouped[-1][0].instance_id] if grouped else shape
        fits = first.options == shape.options and first.tokens <= _LONGEST * shape.tokens
        if grouped and fits and len(grouped[-1]) < size:
            grouped[-1].append(one)
        else:
            grouped.append([one])
    return grouped


def _descending(shape: Shape) -> tuple[tuple[tuple[str, str], ...], int]:
    return shape.options, -shape.tokens


def _prompts(options: VlmOptions, job: Job) -> list[Prompt]:
    """Return the prompt in each requested order of the options, evenly rotated."""
    voter, taxonomy = job.voter, job.taxonomy
    if voter.as_it_stands:
        return [_whole_prompt(options, voter, taxonomy)]
    classes = len(taxonomy.classes)
    turns = sorted({turn * classes // options.option_orders for turn in range(options.option_orders)})
    text = voter.prompt or default_prompt(options.view)
    return [ask(text, taxonomy, options.options, turn=turn, offered=voter.offered) for turn in turns]


def _whole_prompt(options: VlmOptions, voter: Voter, taxonomy: Taxonomy) -> Prompt:
    if not voter.prompt or voter.offered or options.options == "letters" or options.option_orders > 1:
        raise UsageError(
            "--as-it-stands goes with --prompt, and without --offer, `options: letters` and `option_orders`: the "
            "prompt lists its own names."
        )
    return ask_as_it_stands(voter.prompt, taxonomy)


def _priors(engine: Engine, options: VlmOptions, prompts: Sequence[Prompt]) -> list[LogP]:
    if not options.prior_correction:
        return []
    answers = [engine.answer(engine.prepare([None], prompt))[0] for prompt in prompts]
    return [answer.log_p for answer in answers if answer.log_p is not None]


def _answer_all(
    todo: Sequence[Sequence[Shown]],
    engine: Engine,
    prompts: Sequence[Prompt],
    priors: Sequence[LogP],
    options: VlmOptions,
    taxonomy: Taxonomy,
    ledger: Ledger,
) -> None:
    started, waited = perf_counter(), 0.0
    with ThreadPoolExecutor(1) as pool:
        ready = _prefetched(todo, engine, prompts, pool)
        total = sum(map(len, todo))
        for upcoming in progress.track(ready, total=total, what="objects", size=lambda one: len(one.result())):
            since = perf_counter()
            batch = upcoming.result()
            waited += perf_counter() - since
            rows: dict[str, Row] = {name: failed(why) for name, why in batch.failures.items()}
            answers = zip(*(engine.answer(prepared) for prepared in batch.prepared), strict=True)
            for one, given in zip(batch.readable, answers, strict=True):
                rows[one.instance_id] = to_vote(given, prompts, priors, options, taxonomy)
            ledger.add({"instance_id": name, **row} for name, row in rows.items())
    if todo:
        share = waited / max(perf_counter() - started, 1e-9)
        progress.say(f"label: {len(todo)} batches; the model waited for images {share:.0%} of the time")


def _prefetched(
    todo: Sequence[Sequence[Shown]], engine: Engine, prompts: Sequence[Prompt], pool: ThreadPoolExecutor
) -> Iterator["Future[Ready]"]:
    """Yield each batch as a future; a few are prepared while the caller computes."""
    waiting: list[Future[Ready]] = []
    for batch in todo:
        waiting.append(pool.submit(_make_ready, batch, engine, prompts))
        if len(waiting) > _PREFETCHED:
            yield waiting.pop(0)
    yield from waiting


def _make_ready(batch: Sequence[Shown], engine: Engine, prompts: Sequence[Prompt]) -> Ready:
    readable: list[Shown] = []
    images: list[Pixels] = []
    failures: dict[str, str] = {}
    for one in batch:
        try:
            images.append(one.read())
            readable.append(one)
        except UnreadableImageError as error:
            failures[one.instance_id] = str(error)
    try:
        prepared = [engine.prepare(images, prompt) for prompt in prompts] if images else []
    except ValueError as error:  # the image processor refuses one of them
        return _without_refused(batch, engine, prompts, error)
    return Ready(readable, prepared, failures)


def _without_refused(batch: Sequence[Shown], engine: Engine, prompts: Sequence[Prompt], error: ValueError) -> Ready:
    """Return the batch without the objects that are refused on their own."""
    if len(batch) == 1:
        return Ready([], [], {batch[0].instance_id: f"the model cannot read this image: {first_line(error)}"})
    alone = [_make_ready([one], engine, prompts) for one in batch]
    refused = {name: why for ready in alone for name, why in ready.failures.items()}
    if not refused:
        raise error
    rest = _make_ready([one for one in batch if one.instance_id not in refused], engine, prompts)
    return Ready(rest.readable, rest.prepared, rest.failures | refused)


def _is_done(batch: Sequence[Shown], ledger: Ledger) -> bool:
    return all(one.instance_id in ledger.rows for one in batch)


def _key(job: Job, engine: Engine, options: VlmOptions, prompts: Sequence[Prompt]) -> str:
    """Return the key under which finished votes are reused: objects, model, options, prompts, code."""
    left_out: dict[str, Any] = {
        **dict.fromkeys(("resources", *cache.LIMITS, *cache.CHOICE), True),
        "server": options.server.patience,
    }
    settings: dict[str, Any] = {"labeler": options.model_dump(exclude=left_out)}
    settings |= {"prompts": repr(prompts), "revision": engine.revision, "computes_in": job.voter.computes_in}
    return cache.key_of(settings, job.whole or job.objects, code=__name__)


def check(rows: Sequence[Mapping[str, Any]], options: VlmOptions) -> None:
    """Raise DataError when more than `max_failed_fraction` of the votes failed; rows need `status` and `answer`."""
    bad = [row for row in rows if row["status"] == "failed"]
    if len(bad) > options.max_failed_fraction * len(rows):
        raise DataError(
            f"{len(bad)} of {len(rows)} objects could not be shown or answered (the first: {bad[0]['answer']}); "
            "fix them or raise `max_failed_fraction` of the labeler."
        )
