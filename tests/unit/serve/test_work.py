"""Jobs that threads take together: each is done once, whoever took it, and fails by itself."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from speechcls.serve.work import Batches


def run(work, act, n_threads=2):
    """What ``act(batches)`` returns in an event loop."""

    async def main():
        return await act(Batches(pool, n_threads, work))

    with ThreadPoolExecutor(n_threads) as pool:
        return asyncio.run(main())


def test_each_of_many_jobs_is_done_once_and_all_of_them_in_few_batches():
    batches, lock = [], threading.Lock()

    def work(jobs):
        with lock:
            batches.append(list(jobs))
        return [job + 0.5 for job in jobs]

    async def act(queue):
        return await asyncio.gather(*(queue.add(job) for job in range(1_000)))

    assert run(work, act) == [job + 0.5 for job in range(1_000)]
    assert sorted(job for batch in batches for job in batch) == list(range(1_000))
    assert len(batches) < 30, [len(batch) for batch in batches]


def test_a_thread_takes_the_next_jobs_while_the_event_loop_is_busy():
    began, n_done, enough = threading.Event(), 0, threading.Event()

    def work(jobs):
        nonlocal n_done
        assert began.wait(30)
        n_done += len(jobs)
        if n_done >= 150:
            enough.set()
        return jobs

    async def act(queue):
        futures = [queue.add(job) for job in range(200)]
        began.set()
        assert enough.wait(30)  # nothing runs in the loop meanwhile
        return await asyncio.gather(*futures)

    assert run(work, act, n_threads=1) == list(range(200))


def test_what_else_waits_for_a_thread_gets_its_turn():
    async def act(queue):
        pending = {asyncio.ensure_future(queue.add(job)) for job in range(200)}
        opened = asyncio.get_running_loop().run_in_executor(pool, lambda: "opened")
        while not opened.done():  # as many jobs as one thread can do, without an end
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            pending |= {asyncio.ensure_future(queue.add(0)) for _ in done}
        await asyncio.wait(pending)
        return await opened

    async def main():
        return await act(Batches(pool, 1, list))

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(asyncio.wait_for(main(), 60)) == "opened"


def test_a_job_fails_by_itself_and_a_fault_of_the_work_is_that_of_all_its_jobs():
    def work(jobs):
        if "break" in jobs:
            raise KeyError("all")
        return [ValueError(job) if job == "bad" else job for job in jobs]

    async def act(queue):
        some = await asyncio.gather(*map(queue.add, ("a", "bad", "b")), return_exceptions=True)
        lost = await asyncio.gather(*map(queue.add, ("a", "break")), return_exceptions=True)
        return some, lost, await queue.add("c")

    (first, bad, second), lost, last = run(work, act, n_threads=1)
    assert (first, second, last) == ("a", "b", "c")
    assert repr(bad) == "ValueError('bad')"
    # The first one may have begun alone.
    assert repr(lost[1]) == "KeyError('all')"
    assert repr(lost[0]) in ("'a'", "KeyError('all')")


def test_a_result_that_nobody_waits_for_any_more_is_dropped():
    release = threading.Event()

    def work(jobs):
        assert release.wait(30)
        return jobs

    async def act(queue):
        first, second = queue.add("gone"), queue.add("here")
        first.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert run(work, act) == "here"
