"""The commands of docs/cluster.md from the clone to the table, in their order and as they stand, on a real Slurm."""

import os
import subprocess
from pathlib import Path

import on_slurm
import yaml
from cluster import Cluster
from on_slurm import LONGEST_S

from conftest import ROOT

slurm = on_slurm.slurm
PAGE = ROOT / "docs" / "cluster.md"
HERE_ALREADY = ("git clone", "make setup", ". .venv/bin/activate")  # a checkout, in the environment of the tests
SITE = "partitions:\n  cpu: {max_runtime: 1440, max_threads: 4, max_mem_mb: 30000}\n"
AT_THIS_SITE = {"slurm-init-seconds-before-status-checks: 40": "slurm-init-seconds-before-status-checks: 5"}


def commands() -> list[str]:
    """Return the lines of the first block of the page."""
    return PAGE.read_text(encoding="utf-8").split("```\n")[1].splitlines()


def prepare(folder: Path) -> dict[str, str]:
    """Make the demo of a checkout small, and return an environment in which the editor writes a site's partitions."""
    config = folder / "config.yaml"
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    small = yaml.safe_load((ROOT / "tests/mini.yaml").read_text(encoding="utf-8"))
    for section, values in small.items():
        for name, value in values.items() if isinstance(values, dict) else ():
            old = content.get(section, {}).get(name)
            content.setdefault(section, {})[name] = old | value if isinstance(old, dict) else value
    content["shards"] = small["shards"]
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    profile = folder / "profiles/slurm/config.yaml"
    text = profile.read_text(encoding="utf-8")
    for old, new in AT_THIS_SITE.items():
        assert old in text
        text = text.replace(old, new)
    profile.write_text(text, encoding="utf-8")
    editor = folder / "editor"
    editor.write_text(f"#!/bin/sh\ncat > \"$1\" <<'END'\n{SITE}END\n", encoding="utf-8")
    editor.chmod(0o755)
    return {"EDITOR": str(editor), "HF_HOME": str(folder / "hub")}


def test_the_commands_of_the_page_lead_from_the_clone_to_the_table(slurm: Cluster, checkout: Path) -> None:
    block = commands()
    steps = [next((n for n, line in enumerate(block) if step in line), -1) for step in ("accept", "pilot", " -n")]
    assert -1 < steps[0] < steps[1] < steps[2] < len(block) - 1, "clone, acceptance, pilot, dry run, real run"
    assert all(any(line.startswith(begin) for line in block) for begin in HERE_ALREADY)
    script = "\n".join(["less() { cat; }", *(line for line in block if not line.startswith(HERE_ALREADY))])
    environment = {**os.environ, **slurm.env, **prepare(checkout)}

    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=checkout, env=environment, capture_output=True, text=True, timeout=LONGEST_S,
    )  # fmt: skip

    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert "limits: every kind of job" in done.stdout + done.stderr
    assert (checkout / "results/accept/report.txt").is_file()
    assert (checkout / "results/pilot/demo_signs/pilot.html").is_file()
    assert (checkout / "results/demo_signs/report/report.html").is_file()
    assert "consensus" in done.stdout.rstrip().splitlines()[-1], "the last lines are the table"
    assert not slurm.jobs("PENDING,RUNNING")
