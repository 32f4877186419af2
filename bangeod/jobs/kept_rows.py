"""What the jobs say of rows that they have to leave as they are: when it changes, not at each run."""

from collections.abc import Mapping

from bangeod.jobs.job import Run
from bangeod.trouble import Trouble


class KeptRows:
    """The troubles with rows, each as it was said last. All jobs share one, and those that a reload makes, too.

    A job run by hand without the daemon has one of its own, and so says everything.
    """

    def __init__(self) -> None:
        self._troubles: dict[tuple[str, ...], Trouble] = {}

    def tell(
        self,
        event: str,
        end: str,
        run: Run,
        rows: int,
        *,
        example: str | None,
        where: Mapping[str, str] | None = None,
        complete: bool = True,
        problem: str | None = None,
        advice: str | None = None,
    ) -> None:
        """Say that so many rows are kept, or that none is any more: ``event`` and ``end`` name that in the log.

        ``where`` is the table, say: trouble there is another one than elsewhere. A run that is not ``complete`` has not
        seen all rows, and so can't tell that there are none. Another ``problem`` is news whatever the number of rows.
        """
        place = dict(where or {})
        trouble = self._troubles.setdefault((event, *place.values()), Trouble(event, end))
        if rows:
            why = {"problem": problem, "advice": advice} if problem else {}
            trouble.tell(problem, count=rows, now=run.clock.monotonic(), **place, rows=rows, example=example, **why)
        elif complete:
            trouble.is_over(**place)
