"""Another process holds the database locked for half a minute: all that needs no lock goes on, the rest comes after."""

from tests.faults.long_lock import HERE, LIMIT, LongLock
from tests.feed import eventually


def test_the_daemon_lives_on_without_the_lock_and_writes_when_it_is_free(locked_for_long: LongLock) -> None:
    scene = locked_for_long
    scene.last()
    scene.asking.wait_for_answers(20)
    assert scene.systemd.longest_silence(scene.since) < LIMIT
    assert scene.place.tokens() == {"expired"}
    assert scene.place.countries() == {}
    failed = scene.daemon.lines("job_failed", level="error")
    jobs = [line["job_id"] for line in failed]
    assert {"session_cleanup", "geo_cache_flush"} <= set(jobs)
    assert len(jobs) == len(set(jobs))  # each has said it once
    assert all("another process has held the database locked for over 5 s" in line["error"] for line in failed)
    scene.release()
    scene.daemon.wait_for("session_cleanup_ran", deleted_count=1)
    scene.asking.finish()
    asked = scene.asking.heard()
    assert {entry.country_code for entry in asked} == {HERE}
    assert scene.asking.failures == []
    eventually(lambda: scene.place.countries() == {entry.ip: HERE for entry in asked}, "all of it is written")
    assert scene.daemon.stop() == 0
