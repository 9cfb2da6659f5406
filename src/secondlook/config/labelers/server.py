"""Options of an OpenAI-compatible server that answers for a model."""

import re
import shlex
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from secondlook.base.yamlfile import Strict

_EXAMPLES = (
    '`command: "vllm serve {model} --host {host} --port {port} --trust-remote-code"`, '
    '`command: "lmdeploy serve api_server {model} --server-name {host} --server-port {port} --api-keys {key}"`'
)
_SHELL = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"}


class ServerOptions(Strict):
    """An OpenAI-compatible server (vLLM, SGLang, LMDeploy, `transformers serve`) and how it is used.

    It runs elsewhere (`url`), or each label job starts one for itself (`command`).
    """

    url: str | None = None
    """Base address of a server that runs, with `/v1`."""
    command: str | None = None
    """Command by which each label job starts a server, without a shell; it ends with the job. `{model}`, `{host}`,
    `{port}` and `{key}` are filled in; the key is also in the environment of the server, as `VLLM_API_KEY`."""
    start_s: float = Field(1800.0, gt=0)
    """Seconds until a started server must answer."""
    restarts: int = Field(3, ge=0)
    """Start a server that died again this many times in a row; an answer in between sets the count to 0."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key of the server at `url`."""
    parallel: int = Field(16, ge=1)
    """Requests in flight at once."""
    attempts: int = Field(6, ge=1)
    """Give up after this many failures of a request in a row."""
    backoff_s: float = Field(1.0, ge=0)
    """Seconds before the second attempt, twice as many before each further one."""
    timeout_s: float = Field(120.0, gt=0)
    """Seconds to wait for an answer."""
    structured: Literal["choice", "json_schema"] = "choice"
    """What the server obeys for `answer: choose`: `choice` (vLLM's `structured_outputs`) or `json_schema` (an enum)."""

    patience: ClassVar[frozenset[str]] = frozenset(
        {"start_s", "restarts", "parallel", "attempts", "backoff_s", "timeout_s"}
    )  # keys that change no answer

    @model_validator(mode="after")
    def _one_server(self) -> "ServerOptions":
        if self.url is not None and self.command is not None:
            raise ValueError("give either `url` (a server that runs) or `command` (which starts one), not both")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"`url` is `{self.url}`, which does not begin with http:// or https://")
        if self.command is not None:
            _require_command(self.command)
        return self

    @property
    def lacks(self) -> str | None:
        """What is missing before it can be used, with the way out; None when nothing is."""
        if self.url is not None or self.command is not None:
            return None
        return f"no server: set `command` under `server`, for instance {_EXAMPLES}, or the `url` of one that runs"


def _require_command(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"`command` cannot be split into words ({error})") from error
    if not words:
        raise ValueError("`command` is empty; leave it out, or give the command that starts a server")
    unknown = set(re.findall(r"\{(\w+)\}", command)) - {"model", "host", "port", "key"}
    if unknown:
        filled_in = "only `{model}`, `{host}`, `{port}` and `{key}` are filled in"
        raise ValueError(f"`command` has `{{{min(unknown)}}}`, and {filled_in}")
    if shell := _SHELL.intersection(words):
        raise ValueError(f"`command` runs without a shell, which `{min(shell)}` is for; put such a line in a script")
    if "{port}" not in command:
        raise ValueError("`command` needs `{port}`: several servers may start on one machine, each at its own port")
