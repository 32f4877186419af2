"""The settings in force: held only here, read by all parts, changed by a reload."""

from typing import TYPE_CHECKING

from bangeod.config import Settings
from bangeod.service import config_change
from bangeod.service.config_change import ConfigChange

if TYPE_CHECKING:
    from bangeod.jobs.job import JobId


class SettingsInForce:
    """The holder of the settings. All parts read a setting each time they need it. Used on the event loop only."""

    def __init__(self, settings: Settings) -> None:
        self._current = settings
        self._carried_out = settings  # the last settings known to be applied by all parts
        self._to_plan: frozenset[JobId] = frozenset()  # jobs left over from changes that failed half-way

    @property
    def current(self) -> Settings:
        """The settings in force now."""
        return self._current

    def change(self, wanted: Settings) -> ConfigChange:
        """Put in force what a changed config may change; the caller carries out the result.

        Work that an earlier change left undone is part of this one, until ``carried_out``.
        """
        change = config_change.between(self._carried_out, wanted)
        self._to_plan |= change.jobs
        self._current = change.settings
        return change._replace(jobs=self._to_plan)

    def carried_out(self) -> None:
        """Note that everything that the last change required is done."""
        self._carried_out, self._to_plan = self._current, frozenset()
