"""Write `docs/performance.md` from what the benchmarks measured: `python -m benchmarks.report`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results import Result, read

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"

INTRODUCTION = """# Performance

The benchmarks wrote these figures (`benchmarks/results`), and `python -m benchmarks.report` made this page of them. A ratio
comes from one run that measured both ways in turn. The command above each table measures it again."""


def page(results: list[Result]) -> str:
    """The page as Markdown."""
    return "\n\n".join([INTRODUCTION, *map(section, results)]) + "\n"


def section(result: Result) -> str:
    """One command's figures."""
    remark = f" {result.remark}" if result.remark else ""
    rows = "\n".join(f"| {figure.what} | {figure.value} | {figure.aim or '–'} |" for figure in result.figures)
    circumstances = f"{result.measured}, {result.machine}, load average {result.load}"
    return (
        f"## {result.title}\n\n`{result.command}`, {circumstances}.{remark}\n\n"
        f"| what | measured | aim |\n|---|---|---|\n{rows}"
    )


if __name__ == "__main__":
    PAGE.write_text(page(read()), "utf-8")
