import asyncio

import pytest

from server.security.throttle import Throttle, TooManyAttempts


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def throttle(clock: Clock, **options: float) -> Throttle:
    return Throttle(clock=clock, sleep=clock.sleep, **options)  # type: ignore[arg-type]


async def wrong() -> None:
    return None


async def right() -> str:
    return "welcome"


async def test_the_delay_grows_to_ten_seconds() -> None:
    clock = Clock()
    slow = throttle(clock)
    for _ in range(9):
        assert await slow.run("anna", "10.0.0.1", wrong) is None
    assert clock.slept == [0.5, 1, 2, 4, 8, 10, 10, 10]


async def test_success_forgets_the_failures() -> None:
    clock = Clock()
    slow = throttle(clock)
    await slow.run("anna", "p", wrong)
    await slow.run("anna", "p", wrong)
    assert await slow.run("anna", "p", right) == "welcome"
    clock.slept.clear()
    await slow.run("anna", "p", wrong)
    assert clock.slept == []
    await slow.run("anna", "p", wrong)
    assert clock.slept == [0.5]


async def test_other_names_and_peers_do_not_wait() -> None:
    clock = Clock()
    slow = throttle(clock)
    await slow.run("anna", "p", wrong)
    assert await slow.run("anna", "q", right) == "welcome"
    assert await slow.run("bert", "p", right) == "welcome"
    assert clock.slept == []


async def test_waiting_by_oneself_counts() -> None:
    clock = Clock()
    slow = throttle(clock)
    await slow.run("anna", "p", wrong)
    clock.now += 0.4
    await slow.run("anna", "p", right)
    assert clock.slept == [pytest.approx(0.1)]


async def test_attempts_in_parallel_are_checked_one_after_another() -> None:
    clock = Clock()
    slow = throttle(clock, longest_wait=1000)
    await asyncio.gather(*(slow.run("anna", "p", wrong) for _ in range(5)))
    assert clock.slept == [0.5, 1, 2, 4]


async def test_right_passwords_in_parallel_do_not_wait() -> None:
    clock = Clock()
    slow = throttle(clock)
    assert await asyncio.gather(*(slow.run("gateway", "p", right) for _ in range(50))) == ["welcome"] * 50
    assert clock.slept == []


async def test_an_attempt_is_given_up_unchecked_after_its_longest_wait() -> None:
    clock = Clock()
    slow = throttle(clock, longest_wait=5)
    checked = 0

    async def check() -> None:
        nonlocal checked
        checked += 1

    results = await asyncio.gather(*(slow.run("anna", "p", check) for _ in range(6)), return_exceptions=True)
    # Checked at 0, 0.5, 1.5 and 3.5 s; the next would be at 7.5 s.
    assert checked == 4
    assert [type(result) for result in results[4:]] == [TooManyAttempts, TooManyAttempts]


async def test_hanging_up_during_the_check_counts_as_a_failure() -> None:
    clock = Clock()
    slow = throttle(clock)
    checking = asyncio.Event()

    async def check() -> None:
        checking.set()
        await asyncio.Event().wait()

    attempt = asyncio.create_task(slow.run("anna", "p", check))
    await checking.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await slow.run("anna", "p", right)
    assert clock.slept == [0.5]


async def test_the_table_is_bounded_and_forgets() -> None:
    clock = Clock()
    slow = throttle(clock, size=10, forget_after=60)
    for number in range(30):
        await slow.run(f"name{number}", "p", wrong)
    assert len(slow) == 10
    clock.now += 61
    await slow.run("name29", "p", wrong)
    await slow.run("name29", "p", wrong)
    assert clock.slept == [0.5]


async def test_an_error_of_the_check_is_no_failure() -> None:
    clock = Clock()
    slow = throttle(clock)

    async def broken() -> None:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await slow.run("anna", "p", broken)
    await slow.run("anna", "p", right)
    assert clock.slept == []
