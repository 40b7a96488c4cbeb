from dataclasses import replace

import pytest
from rich.console import Console
from toy_study import study

from pyphenom.report import plan_table, study_table, verdict_table
from pyphenom.report.tables import remarks, summary
from pyphenom.studies import BrokenStudy, Cell, Failure, plan, run
from pyphenom.studies.timings import note


def text(renderable):
    console = Console(width=160)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.fixture
def result(tmp_path):
    return run(study, "smoke", store=tmp_path)


def row(table, name):
    (line,) = [line for line in text(table).splitlines() if name in line]
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_the_effect_comes_first_and_the_word_last(result):
    table = verdict_table([result])
    verdict = next(v for v in result.verdicts if v.id == "square")
    low, high = (f"{end:.4g}" for end in verdict.interval)
    expected = ["square", f"{verdict.measured:.4g}", f"({low}, {high})", "5", "4", "a priori", "CONFIRMED", "yes"]
    assert row(table, "square") == expected
    assert row(table, "wrong (control)")[-2:] == ["REFUTED", "yes"]
    assert row(table, "order (secondary)")[3:] == ["> 0.5", "4", "a priori", "-", ""]
    assert row(table, "nothing (control)")[3] == "[-1, 1]"
    assert "worst of 3: location=" in text(table)


def test_what_is_not_expected_stands_out(result):
    verdict = replace(result.verdicts[0], word="VOID", measured=float("nan"), advice="the reason")
    void = replace(result, verdicts=(verdict,))
    assert row(verdict_table([void]), " mean ")[1:] == ["", "", "", "4", "a priori", "VOID", "no: CONFIRMED"]
    assert remarks([void]) == ["toy, mean: the reason"]
    assert row(verdict_table([void]), "toy (smoke")[-2:] == ["VOID", "no"]


def test_cells_that_failed_alike_take_one_line(result):
    cells = [Cell("gaussian", {"location": 1.0}, k) for k in range(3)]
    reasons = ("KeyError: 'a'", "KeyError: 'a'", "ValueError: b")
    failures = tuple(Failure(cell, f"Traceback\n{why}\n") for cell, why in zip(cells, reasons, strict=True))
    first, second = remarks([replace(result, failures=failures, verdicts=())])
    assert "replicate=0: KeyError: 'a', and 1 more alike; the traceback is in the report" in first
    assert "replicate=2: ValueError: b; the" in second


def test_the_summary_counts_what_is_not_as_expected(result):
    decided = sum(verdict.expected is not None for verdict in result.verdicts)
    assert summary([result]) == f"{decided} of {decided} claims and controls are as expected"
    mean, *others = result.verdicts
    open_ = replace(result, verdicts=(replace(mean, word="INCONCLUSIVE"), *others))
    text = f"{decided - 1} of {decided} claims and controls are as expected; the others: 1 INCONCLUSIVE"
    assert summary([open_]) == text + ". --preset quick has more replicates"
    assert summary([replace(open_, preset="full")]) == text
    void = replace(result, verdicts=(replace(mean, word="VOID"), *others))
    assert summary([void]).endswith("; the others: 1 VOID")


def test_studies_and_broken_plug_ins_are_listed():
    table = study_table({"toy": study, "bad": BrokenStudy("no [such] module")})
    assert row(table, "toy") == ["toy", "The mean of a Gaussian", "4", "smoke 12 · quick 36 · full 120"]
    assert row(table, "bad")[1] == "cannot be loaded: no [such] module"


def test_a_plan_says_what_is_known_and_what_is_not(tmp_path):
    assert row(plan_table([plan(study, "smoke", tmp_path)], 2), "toy (smoke")[1:] == ["12", "0", "12", "", "unknown"]
    run(study, "smoke", store=tmp_path)
    (tmp_path / "timings.jsonl").unlink()
    note(tmp_path, study, Cell("gaussian", {"location": 1.0}, 0), 30.0)
    table = plan_table([plan(study, "quick", tmp_path)], 2)
    assert row(table, "toy (quick")[1:] == ["36", "12", "24", "", "6 min with 2 jobs"]
    assert row(table, "  gaussian") == ["gaussian", "36", "12", "24", "30 s", "12 min"]
    assert row(plan_table([plan(study, "smoke", tmp_path)], 1), "toy (smoke")[-1] == "nothing to measure"
