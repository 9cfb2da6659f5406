"""What other acceptance levels would accept, how much of that would be wrong, and how many right labels they break."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from noisy import OPTIONS, Run
from secondlook.pages.plotting import AMBER, BLUE, GREEN, INK, LINE
from secondlook.stats.consensus.decide import propose

ACCEPT = (0.8, 0.85, 0.9, 0.95)
RELABEL = (0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995)
COLOURS = (AMBER, GREEN, BLUE, INK)
PANELS = {"several": "labelers of two families or more", "one": "labelers of one family"}
Frontier = dict[str, NDArray[np.float64]]  # by panel: (accept, relabel, [objects, accepted, wrong, broken])


def empty() -> Frontier:
    """Return a frontier of no runs."""
    return {panel: np.zeros((len(ACCEPT), len(RELABEL), 4)) for panel in PANELS}


def add(frontier: Frontier, one: Run) -> None:
    """Count what each pair of levels accepts in a run; both levels of a relabel are the same."""
    panel = frontier["several" if len(set(one.rehearsal.votes.families)) > 1 else "one"]
    for row, accept in enumerate(ACCEPT):
        for column, relabel in enumerate(RELABEL):
            changed = {"accept": accept, "accept_relabel": relabel, "accept_relabel_alone": relabel}
            proposals = propose(one.votes, one.merged, one.given, OPTIONS.model_copy(update=changed))
            accepted = proposals.score >= accept
            wrong = accepted & (proposals.label != one.rehearsal.truth)
            broken = wrong & (one.given == one.rehearsal.truth)
            panel[row, column] += len(accepted), accepted.sum(), wrong.sum(), broken.sum()


def table(frontier: Frontier) -> str:
    """Return what is accepted, wrong and broken as text, one line per level of a relabel."""
    lines = []
    for panel, title in PANELS.items():
        lines.append(f"{title}: % accepted / % wrong of them / right labels overwritten of 10,000 objects, by accept")
        lines.append(f"| relabel | {' | '.join(f'{accept:g}' for accept in ACCEPT)} |")
        lines.append(f"|---|{'---:|' * len(ACCEPT)}")
        share, wrong = _shares(frontier[panel])
        broken = 1e4 * frontier[panel][..., 3] / np.maximum(frontier[panel][..., 0], 1)
        for column, relabel in enumerate(RELABEL):
            figures = zip(share[:, column], wrong[:, column], broken[:, column], strict=True)
            cells = [f"{accepted:.1f} / {part:.2f} / {harm:.1f}" for accepted, part, harm in figures]
            lines.append(f"| {relabel:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(frontier: Frontier, path: Path) -> None:
    """Draw the frontier: one panel for each number of families, one curve for each `accept`."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8.4, 3.5), layout="constrained")
    for axes, (panel, title) in zip(panels, PANELS.items(), strict=True):
        share, wrong = _shares(frontier[panel])
        for row, accept in enumerate(ACCEPT):
            axes.plot(share[row], wrong[row], "o-", color=COLOURS[row], markersize=3, label=f"accept {accept:g}")
        level = OPTIONS.accept_relabel if panel == "several" else OPTIONS.accept_relabel_alone
        chosen = ACCEPT.index(OPTIONS.accept), RELABEL.index(level)
        axes.plot(share[chosen], wrong[chosen], "o", markersize=11, markerfacecolor="none", color=INK)
        for column in (0, len(RELABEL) - 1):
            where = share[0, column], wrong[0, column]
            axes.annotate(f"relabel {RELABEL[column]:g}", where, (0, 6), textcoords="offset points", fontsize=7.5)
        axes.margins(0.12)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("accepted, % of the objects")
        axes.grid(color=LINE, linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("wrong, % of the accepted")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _shares(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    objects, accepted, wrong = np.moveaxis(counts[..., :3], -1, 0)
    return 100 * accepted / np.maximum(objects, 1), 100 * wrong / np.maximum(accepted, 1)
