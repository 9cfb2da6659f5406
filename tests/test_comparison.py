"""The comparison with other tools is true as far as a test can tell: claims name a page, or a test that is there."""

import re
from collections.abc import Iterator

import pytest

from conftest import ROOT

PAGE = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
OURS, NOTHING, NOT_OURS = "Second Look", "-", "no"
PAGES = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", PAGE, re.MULTILINE))
DOCS_OF = {  # where the pages about each tool lie
    "FiftyOne": ("https://docs.voxel51.com/", "https://github.com/voxel51/"),
    "cleanlab": ("https://docs.cleanlab.ai/", "https://github.com/cleanlab/"),
    "autodistill": ("https://github.com/autodistill/", "https://www.github.com/autodistill/"),
    "Label Studio": ("https://labelstud.io/", "https://github.com/HumanSignal/"),
}


def table(heading: str) -> list[dict[str, str]]:
    """Return the rows of the first table below a heading, by column."""
    below = PAGE.split(f"\n## {heading}\n")[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[0].splitlines()]
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, (cell.strip("| ") for cell in row), strict=True)) for row in rows]


FEATURES = table("Features")
TESTS = {row["feature"]: re.findall(r"`([^`]+)`", row["test"]) for row in table("What backs our column")}


def claims_about_others() -> Iterator[tuple[str, str, str]]:
    for row in FEATURES:
        for tool in DOCS_OF:
            if row[tool] != NOTHING:
                yield row["feature"], tool, row[tool]


@pytest.mark.parametrize(("feature", "tool", "cell"), list(claims_about_others()))
def test_a_claim_about_another_tool_names_a_page_of_its_docs(feature: str, tool: str, cell: str) -> None:
    names = re.findall(r"\]\[([\w-]+)\]", cell)
    assert names, f"{feature}, {tool}: no page backs `{cell}`"
    for name in names:
        assert PAGES[name].startswith(DOCS_OF[tool]), f"{feature}, {tool}: {PAGES[name]}"


@pytest.mark.parametrize("row", FEATURES, ids=lambda row: row["feature"])
def test_a_claim_about_second_look_names_a_test(row: dict[str, str]) -> None:
    assert (row[OURS] == NOT_OURS) == (row["feature"] not in TESTS)


@pytest.mark.parametrize(("feature", "test"), [(feature, test) for feature in TESTS for test in TESTS[feature]])
def test_every_test_that_is_named_is_there(feature: str, test: str) -> None:
    assert feature in {row["feature"] for row in FEATURES}
    path, _, name = test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test


def test_the_page_says_what_others_have_and_we_do_not() -> None:
    missing = [row for row in FEATURES if row[OURS] == NOT_OURS]
    assert len(missing) >= 5
    assert all(any(row[tool] != NOTHING for tool in DOCS_OF) for row in missing)


def test_no_page_is_listed_for_nothing() -> None:
    assert {name for name in PAGES if f"][{name}]" not in PAGE} == set()
