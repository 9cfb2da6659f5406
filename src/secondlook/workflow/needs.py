"""What jobs request from a cluster: threads, memory, minutes and GPUs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from secondlook.base.resources import Resources
from secondlook.workflow.functions import RuleFunction, rule_function
from secondlook.workflow.run import Run, models_of


@dataclass(frozen=True)
class Needs:
    """A run, whose models say what the jobs that load them need."""

    run: Run

    def cpus(self, wildcard: str) -> RuleFunction:
        """Return the function by which a rule requests the threads of the model that a wildcard names."""

        @rule_function
        def cpus(wildcards: Any) -> int:
            return self._of_model(wildcard, wildcards).cpus

        return cpus

    def of(self, what: str) -> dict[str, RuleFunction]:
        """Return the resources of a rule, each as a function: those of the model in a wildcard.

        `what` is that wildcard, or the section `cutout`.
        """
        all_needs = [model.resources for config in self.run.configs for model in models_of(config, what)]
        return self.resources_of(lambda wildcards: self._of_model(what, wildcards), all_needs)

    def resources_of(
        self, needed: Callable[[Any], Resources], all_needs: Sequence[Resources]
    ) -> dict[str, RuleFunction]:
        """Return the resources of a rule whose jobs need what `needed` returns for their wildcards.

        Kinds of GPUs are requested where any of `all_needs` has one: Snakemake computes each resource of each job.
        """
        unused = {
            "gpu": not any(need.gpus for need in all_needs),
            "gpu_model": not any(map(self.gpu_model, all_needs)),
            "constraint": not any(map(self.gpu_constraint, all_needs)),
        }
        return {name: ask for name, ask in self._functions(needed).items() if not unused.get(name)}

    def _functions(self, needed: Callable[[Any], Resources]) -> dict[str, RuleFunction]:
        @rule_function
        def mem_mb(wildcards: Any, attempt: int) -> int:
            return attempt * needed(wildcards).mem_mb

        @rule_function
        def runtime(wildcards: Any, attempt: int) -> int:
            return attempt * needed(wildcards).runtime

        @rule_function
        def gpu(wildcards: Any) -> int:
            return needed(wildcards).gpus

        @rule_function
        def gpu_model(wildcards: Any) -> str | None:
            return self.gpu_model(needed(wildcards))

        @rule_function
        def constraint(wildcards: Any) -> str | None:
            return self.gpu_constraint(needed(wildcards))

        return {
            "mem_mb": mem_mb,
            "runtime": runtime,
            "gpu": gpu,
            "gpu_model": gpu_model,
            "constraint": constraint,
        }

    def gpu_model(self, needs: Resources) -> str | None:
        """Return the model of GPU that a job with these needs requests, None for one without a GPU."""
        return (needs.gpu_model or self.run.config.gpu_model) if needs.gpus else None

    def gpu_constraint(self, needs: Resources) -> str | None:
        """Return the constraint on nodes with GPUs, None for a job without a GPU."""
        return (needs.gpu_constraint or self.run.config.gpu_constraint) if needs.gpus else None

    def _of_model(self, what: str, wildcards: Any) -> Resources:
        needed: Resources = self.run.model(what, wildcards).resources
        return needed
