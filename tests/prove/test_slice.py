"""The slice of the campaign that every test run does: two simulated hours, in five parts.

Each part is the whole course once, so that the parts together reach what one part reaches, five
times. The figures are the least that is asked of them; see docs/simulation.md.
"""

import pytest

from tests.prove.course import COURSE, Tally, run

PARTS = 5
SIMULATED_MS = 2 * 3_600_000
FAULTS = 800
ANSWERED = 50_000
SEARCHED = 5_000


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_part_of_two_simulated_hours_breaks_nothing(part: int) -> None:
    tally = Tally()
    for number in range(part * len(COURSE), (part + 1) * len(COURSE)):
        tally.add(run(number))
    assert tally.failures == []
    assert tally.unknown == 0
    assert tally.simulated_ms * PARTS >= SIMULATED_MS
    assert tally.faults * PARTS >= FAULTS
    assert tally.answered * PARTS >= ANSWERED
    assert tally.searched * PARTS >= SEARCHED
