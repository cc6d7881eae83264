"""What counts of the way between two regions: what is set, what was measured, what is expected."""

from regions.latency_matrix import FORGET_AFTER_MS, Distance, LatencyMatrix, Measured, Source

PRIOR = {("eu", "eu"): 1.0, ("eu", "us"): 90.0, ("us", "eu"): 90.0, ("us", "us"): 1.0}


def test_nothing_measured_is_the_prior() -> None:
    assert list(LatencyMatrix(PRIOR).distances({})) == [
        Distance("eu", "us", 90.0, Source.PRIOR, 0, None, None, 90.0, None),
        Distance("us", "eu", 90.0, Source.PRIOR, 0, None, None, 90.0, None),
    ]


def test_each_direction_is_what_was_measured_from_there() -> None:
    matrix = LatencyMatrix(PRIOR)
    matrix.take("eu-1", "eu", {"us": Measured(95, 120, 30)}, 0)
    matrix.take("us-1", "us", {"eu": Measured(250, 260, 30)}, 0)
    assert [(d.from_region, d.round_trip_ms, d.source) for d in matrix.distances({})] == [
        ("eu", 95, Source.MEASURED), ("us", 250, Source.MEASURED),
    ]  # fmt: skip


def test_one_node_with_a_bad_line_does_not_move_the_middle() -> None:
    matrix = LatencyMatrix(PRIOR)
    for node, p50_ms in (("eu-1", 95), ("eu-2", 97), ("eu-3", 900)):
        matrix.take(node, "eu", {"us": Measured(p50_ms, p50_ms + 10, 8)}, 0)
    found = next(matrix.distances({}))
    assert (found.round_trip_ms, found.samples, found.p99_ms) == (97, 24, 910)


def test_too_few_samples_are_shown_and_do_not_count() -> None:
    matrix = LatencyMatrix(PRIOR)
    matrix.take("eu-1", "eu", {"us": Measured(300, 300, 3)}, 0)
    found = next(matrix.distances({}))
    assert (found.round_trip_ms, found.source, found.p50_ms) == (90.0, Source.PRIOR, 300)


def test_what_is_set_comes_before_what_was_measured_and_hides_nothing() -> None:
    matrix = LatencyMatrix(PRIOR)
    matrix.take("eu-1", "eu", {"us": Measured(300, 310, 30)}, 0)
    found = next(matrix.distances({("eu", "us"): 80.0}))
    assert (found.round_trip_ms, found.source) == (80.0, Source.OVERRIDE)
    assert (found.p50_ms, found.prior_ms, found.override_ms) == (300, 90.0, 80.0)


def test_a_node_that_says_nothing_any_more_has_measured_nothing() -> None:
    matrix = LatencyMatrix(PRIOR)
    matrix.take("eu-1", "eu", {"us": Measured(300, 310, 30)}, 0)
    matrix.forget_old(FORGET_AFTER_MS)
    assert next(matrix.distances({})).source is Source.MEASURED
    matrix.forget_old(FORGET_AFTER_MS + 1)
    assert next(matrix.distances({})).source is Source.PRIOR


def test_a_region_that_the_topology_does_not_know_counts_once_it_is_set_or_measured() -> None:
    matrix = LatencyMatrix(PRIOR)
    matrix.take("ap-1", "ap", {"eu": Measured(150, 160, 30), "us": Measured(9, 9, 1)}, 0)
    found = [d for d in matrix.distances({("eu", "ap"): 140.0}) if d.prior_ms is None]
    assert found == [
        Distance("ap", "eu", 150, Source.MEASURED, 30, 150, 160, None, None),
        Distance("eu", "ap", 140.0, Source.OVERRIDE, 0, None, None, None, 140.0),
    ]
