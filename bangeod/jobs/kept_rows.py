"""Logging of rows that the jobs have to leave as they are: when their number changes, not at each run."""

from collections.abc import Mapping

from bangeod.jobs.job import Run
from bangeod.trouble import Trouble


class KeptRows:
    """The troubles with rows, each as it was last logged. All jobs share one instance, also those that a reload makes.

    A job run by hand without the daemon has its own, and so logs everything.
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
        """Log that ``rows`` rows are kept, or that none is any more: with ``event`` or with ``end`` as the event.

        ``where`` is the table, for example: a trouble there is another one than elsewhere. A run that is not
        ``complete`` has not seen all rows, and so can't tell that none is kept. Another ``problem`` is news whatever
        the number of rows.
        """
        place = dict(where or {})
        trouble = self._troubles.setdefault((event, *place.values()), Trouble(event, end))
        if rows:
            why = {"problem": problem, "advice": advice} if problem else {}
            trouble.tell(problem, count=rows, now=run.clock.monotonic(), **place, rows=rows, example=example, **why)
        elif complete:
            trouble.is_over(**place)
