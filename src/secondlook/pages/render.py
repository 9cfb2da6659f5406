"""What all pages share: their style, the format of their figures, and the versions that made them."""

import importlib.metadata
import math
import platform
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import secondlook

PACKAGES = ("numpy", "opencv-python-headless", "pyarrow", "scipy", "snakemake", "timm", "torch", "transformers")
SURE = 0.999  # more digits would claim more than a posterior can say
SHARED = Path(__file__).parent  # the folder of parts that several pages use


def render(folder: Path, context: Mapping[str, Any], page: str = "page.html") -> str:
    """Return a page of a stage's folder; everything that comes from data is escaped.

    `rehearsal` in the context is the sentence about planted errors, None or left out where there are none.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.tests["known"] = known
    environment.filters["percent"] = lambda value: f"{100 * value:.1f} %" if known(value) else "-"
    environment.filters["figure"] = lambda value: f"{value:.3f}" if known(value) else "-"
    environment.filters["points"] = points
    environment.filters["code"] = code
    environment.filters["posterior"] = lambda value: f"{value:.3f}" if value < SURE else f"> {SURE}"
    style = (SHARED / "page.css").read_text(encoding="utf-8")
    return environment.get_template(page).render({"rehearsal": None, **context, "style": style, "versions": versions()})


def code(text: str) -> Markup:
    """Return a text in which what stands between backticks is shown as code."""
    forms = cycle((Markup("{}"), Markup("<code>{}</code>")))
    return Markup("").join(form.format(part) for part, form in zip(text.split("`"), forms, strict=False))


def known(value: float | None) -> bool:
    """Tell whether there is a figure."""
    return value is not None and not math.isnan(value)


def points(share: float) -> str:
    """Return a difference of shares in points, with its sign."""
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")


def versions() -> dict[str, str]:
    """Return the versions of what made the results."""
    result = {"secondlook": secondlook.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        result[name] = importlib.metadata.version(name)
    return result
