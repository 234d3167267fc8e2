"""One run at a time for each model; a run that lost its lease is stopped."""

import time

import pytest

from domain.errors import Unavailable
from flows.lease import Leases


def test_a_second_run_is_refused_until_the_first_gives_back(home):
    leases = Leases(home.engine)
    with leases.held("assistant", "er-1") as first:
        with pytest.raises(Unavailable, match="lease_held"):
            leases.acquire("assistant", "er-2")
        assert leases.acquire("other", "er-2").token == 1
    assert leases.acquire("assistant", "er-2").token == first.token + 1


def test_a_dead_run_blocks_only_until_its_lease_expires_and_cannot_come_back(home):
    leases = Leases(home.engine, seconds=0.05)
    dead = leases.acquire("assistant", "er-1")
    time.sleep(0.06)
    alive = leases.acquire("assistant", "er-2")
    assert alive.token == dead.token + 1
    with pytest.raises(Unavailable, match="lease_lost"):
        leases.assert_held(dead)
    leases.assert_held(alive)


def test_a_run_that_works_longer_than_the_period_keeps_its_lease(home):
    leases = Leases(home.engine, seconds=0.4)
    with leases.held("assistant", "er-1") as lease:
        time.sleep(0.7)
        leases.assert_held(lease)
        with pytest.raises(Unavailable, match="lease_held"):
            leases.acquire("assistant", "er-2")


def test_a_lease_is_given_back_when_the_block_fails(home):
    leases = Leases(home.engine)
    with pytest.raises(KeyError), leases.held("assistant", "er-1"):
        raise KeyError
    leases.acquire("assistant", "er-2")
