"""The section `pilot` of `config.yaml`: a few objects of each class, shown to every labeler before the real run."""

from pydantic import Field

from secondlook.base.yamlfile import Strict


class PilotOptions(Strict):
    """What `snakemake pilot` tries."""

    objects_per_class: int = Field(20, ge=1)
    """Objects of each given class that every labeler of a task votes on."""
    tasks: list[str] | None = None
    """Tasks to try, such as `demo_signs` or `paper/bdd_vehicles`; left out, those of the run."""
