"""What the daemon makes of the settings of its database and of its fleet."""

import pytest

from bangeod.config.settings import FleetSettings
from bangeod.fleet.ip_api_turns import IpApiTurns
from bangeod.geo.sources.ip_api.turns import Alone
from bangeod.service.database import fleet_of, ip_api_turns_of
from bangeod.store.postgres.url import parse
from tests.support.manual_clock import ManualClock

URL = "postgresql://web1@/fleet?host=/nonexistent"


def test_without_a_fleet_it_is_always_this_hosts_turn() -> None:
    assert isinstance(ip_api_turns_of(fleet_of(FleetSettings(), ManualClock()), ""), Alone)


@pytest.mark.parametrize("egress", ["", "office"])
def test_in_a_fleet_its_hosts_take_turns_by_their_names(egress: str) -> None:
    fleet = fleet_of(FleetSettings(url=parse(URL), host="web1"), ManualClock())
    turns = ip_api_turns_of(fleet, egress)
    assert isinstance(turns, IpApiTurns)
    assert (turns._host, turns._egress) == ("web1", egress)
