"""Fetch: files from S3, http(s), Roboflow and Objects365 to the places where the tasks expect them."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from secondlook.base.errors import DataError, UsageError
from secondlook.base.yamlfile import validate
from secondlook.config.sources import FetchPlace, HttpPlace, S3Place, url_file_name
from secondlook.config.stages import FetchOptions
from secondlook.io.destinations import means_folder
from secondlook.stages.fetch.entries import Outcome, bring
from secondlook.stages.fetch.line import Line, shown_bytes


def fetch_entries(names: Iterable[str], options: FetchOptions) -> None:
    """Fetch entries of the config, several at once; raises DataError with a line per entry that failed."""
    have = ", ".join(options.sources) or "none"
    wanted = list(dict.fromkeys(names))
    if not wanted:
        raise UsageError(f"name at least one of the entries under `fetch.sources` (listed: {have}).")
    for name in wanted:
        if name not in options.sources:
            raise UsageError(f"`{name}` is not listed under `fetch.sources` (listed: {have}).")
    _fetch({name: options.sources[name] for name in wanted}, options)


def fetch_url(url: str, to: str, options: FetchOptions, *, sha256: str | None, unpack: bool) -> None:
    """Fetch one file to `to`, or into it when it is a folder; an address with a key is neither shown nor stored."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError("--url: is not a valid address; check it.") from None
    if parts.scheme not in {"s3", "http", "https"} or not parts.netloc:
        raise UsageError("--url: must begin with https://, http:// or s3:// and name a host or bucket.")
    target = Path(to, url_file_name(url) or "download") if means_folder(to) else Path(to)
    where = {"to": str(target.parent), "file": target.name}
    content = {"url": "s3://bucket/file", **where, "sha256": sha256, "unpack": unpack}
    if parts.scheme == "s3":
        place: FetchPlace = validate(S3Place, {**content, "kind": "s3", "url": url}, source="--url")
    else:
        # checked without the address, which may contain a key; a config must not
        blank = validate(HttpPlace, {**content, "kind": "http", "url": "https://host/file"}, source="--url")
        place = blank.model_copy(update={"url": url})
    _fetch({target.name: place}, options)


def _fetch(chosen: dict[str, FetchPlace], options: FetchOptions) -> None:
    line = Line(
        attempts=options.attempts, backoff_s=options.backoff_s, timeout_s=options.timeout_s, parallel=options.parallel
    )
    started = monotonic()
    outcomes, complaints = _bring_all(chosen, options, line)
    already = sum(outcome.already for outcome in outcomes)
    line.say(
        f"fetch: {len(outcomes) - already} fetched, {already} already there, {len(complaints)} failed; "
        f"{shown_bytes(line.received)} received in {monotonic() - started:.1f} s"
    )
    if complaints:
        raise DataError("\n".join(complaints))


def _bring_all(chosen: dict[str, FetchPlace], options: FetchOptions, line: Line) -> tuple[list[Outcome], list[str]]:
    outcomes, complaints = [], []
    with ThreadPoolExecutor(min(options.parallel, len(chosen))) as pool, line.shown():
        running = {pool.submit(bring, name, place, options.limits, line): name for name, place in chosen.items()}
        for done in as_completed(running):
            try:
                outcome = done.result()
            except DataError as error:
                complaints.append(str(error) if len(chosen) == 1 else f"{running[done]}: {error}")
            else:
                outcomes.append(outcome)
                line.say(_message(outcome, chosen[outcome.name]))
    return outcomes, complaints


def _message(outcome: Outcome, place: FetchPlace) -> str:
    if outcome.already:
        return f"fetch: {outcome.name} is already there ({place.brings(outcome.name)})"
    parts = [shown_bytes(outcome.marker.bytes)]
    if outcome.marker.folders:
        parts.append(f"{sum(unpacked.files for unpacked in outcome.marker.folders.values())} files unpacked")
    return f"fetch: {outcome.name} is in {place.brings(outcome.name)} ({', '.join(parts)})"
