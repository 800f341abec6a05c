"""Who may ask, how often, and how refusals are answered."""

import json

import pytest

from speechcls.serve.guard import TOKEN, RateLimit, Refusal, is_loopback


def test_a_client_has_its_requests_at_once_and_then_as_they_come_back():
    now = [0.0]
    limit = RateLimit(60, lambda: now[0])
    assert [limit.wait_s("a") for _ in range(61)] == [0.0] * 60 + [1.0]
    assert limit.wait_s("b") == 0.0  # another client
    now[0] = 0.5
    assert limit.wait_s("a") == pytest.approx(0.5)
    now[0] = 1.5
    assert limit.wait_s("a") == 0.0
    assert limit.wait_s("a") == pytest.approx(0.5)
    now[0] = 1e6
    assert [limit.wait_s("a") for _ in range(61)].count(0.0) == 60  # no more than a minute's


def test_zero_is_no_limit():
    limit = RateLimit(0, lambda: 0.0)
    assert {limit.wait_s("a") for _ in range(1_000)} == {0.0}


def test_the_clients_that_are_remembered_are_limited():
    limit = RateLimit(1, lambda: 0.0)
    assert limit.wait_s("first") == 0.0
    assert limit.wait_s("first") > 0
    for i in range(10_001):
        limit.wait_s(f"client {i}")
    assert limit.wait_s("first") == 0.0  # forgotten


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_the_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_other_addresses(host):
    assert not is_loopback(host)


def test_a_refusal_says_when_to_try_again():
    response = Refusal(503, "server: busy; try again", 1.2).response()
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert json.loads(response.body) == {"error": "server: busy; try again"}
    response = Refusal(401, "token: wrong").response()
    assert response.headers["www-authenticate"] == "Bearer"
    assert "retry-after" not in response.headers


def test_what_a_token_may_be():
    assert TOKEN.fullmatch("Abc-._~+0123456789")
    for bad in ("short", "with a blank in it .", "slash/and=equals======", "ünïcode-is-no-token"):
        assert not TOKEN.fullmatch(bad)
