"""A flood of ever new addresses, in small: `tests.campaigns.limiter_flood` is the same in full size."""

from tests.campaigns import limiter_flood


def test_no_honest_client_is_limited_by_a_flood_of_others() -> None:
    outcome = limiter_flood.run(addresses=8_000, honest=500, slots=1 << 15)
    assert outcome.honest_limited == 0
    # Each flooding address had its burst and not once more, but for a few in sets that were overfull.
    assert outcome.flood_refused > 0.999 * outcome.addresses
    assert outcome.resident_bytes <= outcome.table_bytes + 65536


def test_a_table_that_is_too_small_lets_the_flood_through_and_limits_nobody_else() -> None:
    outcome = limiter_flood.run(addresses=8_000, honest=200, slots=1 << 10)
    assert outcome.honest_limited == 0
    assert outcome.flood_refused < outcome.addresses
