"""Finished rows beside an output: two processes may work on the same one, and the first to end disturbs nobody."""

from pathlib import Path

from secondlook.jobs import ledger
from secondlook.jobs.ledger import Ledger


def rows(*names: str) -> list[dict[str, str]]:
    return [{"instance_id": name} for name in names]


def test_a_process_goes_on_where_another_one_ended_with_the_same_output(tmp_path: Path) -> None:
    out = tmp_path / "votes.parquet"
    first, second = Ledger(out, "key"), Ledger(out, "key")
    first.add(rows("a"))
    second.add(rows("b"))
    ledger.forget(out)
    second.add(rows("c"))
    assert set(second.rows) == {"b", "c"}
    assert set(Ledger(out, "key").rows) == {"c"}, "what it finishes from here on survives a kill"
