"""The quickest mutants are hunted in every run; the others can at least still be planted."""

from pathlib import Path

import pytest

from tests.simulation.mutants import CRASH, hunt, plant
from tests.simulation.planted import MUTANTS, UNSEEN, Edit, Mutant

QUICK_SEEDS_MAX = 12


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.quick], ids=lambda m: m.name)
def test_mutant_is_caught(mutant: Mutant) -> None:
    caught = hunt(mutant, QUICK_SEEDS_MAX)
    assert caught is not None, f"nothing noticed that {mutant.rule} was given up"
    assert set(caught.invariants) - {CRASH}, "it only crashed: that proves little"


@pytest.mark.parametrize("mutant", [*MUTANTS, *UNSEEN], ids=lambda m: m.name)
def test_mutant_can_be_planted(mutant: Mutant, tmp_path: Path) -> None:
    plant(mutant, tmp_path)
    for edit in mutant.edits:
        compile((tmp_path / edit.path).read_text(), edit.path, "exec")


def test_a_mutant_whose_place_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 0 times in"):
        plant(Mutant("x", "", (Edit("shards/election.py", "no such line", ""),)), tmp_path)
