"""The table of mutants is whole and up to date, and the quickest of them are run."""

import ast

import pytest

from tests.rules.run_mutants import ROOT, Mutant, is_noticed, read_mutants

MUTANTS = read_mutants()
RULES = [f"R{number}" for number in range(1, 21)]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_what_is_there_and_names_a_test_that_is_there(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text()
    assert text.count(mutant.old) == 1
    ast.parse(text.replace(mutant.old, mutant.new))
    path, name = mutant.test.split("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_of_the_guarantees_has_a_mutant_and_a_test_named_after_it(rule: str) -> None:
    tests = {mutant.test.split("::")[1] for mutant in MUTANTS if mutant.rule == rule}
    assert tests
    assert any(test.startswith(f"test_{rule.lower()}_") for test in tests)


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.quick], ids=lambda mutant: mutant.name)
def test_without_the_rule_its_test_fails(mutant: Mutant) -> None:
    noticed, said = is_noticed(mutant)
    assert noticed, said


def test_nothing_fails_where_nothing_is_taken_away() -> None:
    whole = MUTANTS[0]
    same = Mutant(whole.rule, whole.path, whole.old, whole.old, whole.test)
    noticed, said = is_noticed(same)
    assert not noticed, said
