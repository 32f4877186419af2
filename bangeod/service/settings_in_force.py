"""The settings in force: held here alone, asked by everybody, changed by a reload."""

from typing import TYPE_CHECKING

from bangeod.config import Settings
from bangeod.service import config_change
from bangeod.service.config_change import ConfigChange

if TYPE_CHECKING:
    from bangeod.jobs.job import JobId


class SettingsInForce:
    """The one holder. Whoever needs a setting asks for it each time, and so has the one of now. The event loop's."""

    def __init__(self, settings: Settings) -> None:
        self._current = settings
        self._carried_out = settings  # what all parts of the daemon are known to go by
        self._to_plan: frozenset[JobId] = frozenset()  # by changes that failed half-way

    @property
    def current(self) -> Settings:
        """Return the settings in force now."""
        return self._current

    def change(self, wanted: Settings) -> ConfigChange:
        """Put in force what of a changed config may change; what is to be done about it is the caller's.

        What a change before has left undone is part of this one, until ``carried_out``.
        """
        change = config_change.between(self._carried_out, wanted)
        self._to_plan |= change.jobs
        self._current = change.settings
        return change._replace(jobs=self._to_plan)

    def carried_out(self) -> None:
        """Note that all that the last change asked for is done."""
        self._carried_out, self._to_plan = self._current, frozenset()
