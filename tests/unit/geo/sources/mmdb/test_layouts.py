"""The layouts of the MMDBs that people have: files in the same shape, looked up as bangeod does.

The records have the keys and the types of those that were published; the facts in them are few, and public.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mmdb_writer import MmdbU32

from bangeod.geo.sources.mmdb import layouts
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.geo.sources.mmdb.slot import FileStatus
from bangeod.model import Geo
from tests.support.mmdb.files import write_mmdb


class Layout(NamedTuple):
    """A file: its database type, a record, and what that says."""

    database_type: str
    record: dict[str, Any]
    geo: Geo | None  # None: it says nothing that we keep


AU = {"geoname_id": MmdbU32(2077456), "iso_code": "AU", "names": {"de": "Australien", "en": "Australia"}}
NL = {"geoname_id": MmdbU32(2750405), "iso_code": "NL", "names": {"de": "Niederlande", "en": "The Netherlands"}}
OCEANIA = {"code": "OC", "geoname_id": MmdbU32(6255151), "names": {"de": "Ozeanien", "en": "Oceania"}}
PLACE = {"city": "Sydney", "postal_code": "1001", "region": "New South Wales", "timezone": "Australia/Sydney"}
CLOUDFLARE = {
    "autonomous_system_number": MmdbU32(13335),
    "autonomous_system_organization": "Cloudflare, Inc.",
}
AS = "AS13335", "Cloudflare, Inc."
AUSTRALIA = "AU", "Australia"

LAYOUTS = {
    "GeoLite2 and GeoIP2 Country": [
        Layout("GeoLite2-Country", {"continent": OCEANIA, "country": AU, "registered_country": NL}, Geo(*AUSTRALIA)),
        Layout("GeoLite2-Country", {"registered_country": AU}, Geo(*AUSTRALIA)),
        Layout("GeoIP2-Country", {"represented_country": AU | {"type": "military"}}, Geo(*AUSTRALIA)),
    ],
    "GeoLite2 and GeoIP2 City": [
        Layout(
            "GeoLite2-City",
            {
                "city": {"geoname_id": MmdbU32(2147714), "names": {"en": "Sydney"}},
                "continent": OCEANIA,
                "country": AU,
                "location": {"accuracy_radius": 1000, "latitude": -33.9, "longitude": 151.2},
                "registered_country": NL,
                "subdivisions": [{"iso_code": "NSW", "names": {"en": "New South Wales"}}],
            },
            Geo(*AUSTRALIA),
        ),
        Layout("GeoIP2-City", {"continent": OCEANIA}, None),
    ],
    "GeoLite2 ASN": [Layout("GeoLite2-ASN", CLOUDFLARE, Geo(None, None, *AS))],
    "GeoIP2 ISP": [
        Layout("GeoIP2-ISP", CLOUDFLARE | {"isp": "APNIC", "organization": "APNIC Labs"}, Geo(None, None, *AS)),
        Layout("GeoIP2-ISP", {"isp": "APNIC", "organization": "APNIC Labs"}, Geo(org="APNIC Labs")),
        Layout("GeoIP2-ISP", {"isp": "APNIC"}, Geo(org="APNIC")),
    ],
    "GeoIP2 Enterprise": [
        Layout(
            "GeoIP2-Enterprise",
            {
                "country": AU | {"confidence": 99},
                "registered_country": NL,
                "traits": CLOUDFLARE | {"connection_type": "Corporate", "isp": "APNIC", "organization": "APNIC Labs"},
            },
            Geo(*AUSTRALIA, *AS),
        ),
        Layout("GeoIP2-Enterprise", {"traits": {"static_ip_score": 0.22, "user_type": "business"}}, None),
    ],
    "GeoIP2 Anonymous IP": [Layout("GeoIP2-Anonymous-IP", {"is_anonymous": True, "is_anonymous_vpn": True}, None)],
    "GeoIP2 Connection Type": [Layout("GeoIP2-Connection-Type", {"connection_type": "Cable/DSL"}, None)],
    "GeoIP2 Domain": [Layout("GeoIP2-Domain", {"domain": "cloudflare.com"}, None)],
    "DB-IP Country Lite, City Lite": [
        Layout(
            "DBIP-Country-Lite (compat=GeoLite2-Country)",
            {"continent": OCEANIA, "country": AU | {"is_in_european_union": False}},
            Geo(*AUSTRALIA),
        ),
        Layout("DBIP-Country-Lite", {"country": {"iso_code": "ZZ", "names": {"en": "Unknown"}}}, None),
        Layout("DBIP-City-Lite", {"city": {"names": {"en": "Sydney"}}, "country": AU}, Geo(*AUSTRALIA)),
    ],
    "DB-IP ASN Lite": [Layout("DBIP-ASN-Lite (compat=GeoLite2-ASN)", CLOUDFLARE, Geo(None, None, *AS))],
    "DB-IP ISP": [
        Layout(
            "DBIP-ISP",
            {"country": AU, "traits": CLOUDFLARE | {"isp": "APNIC", "user_type": "hosting"}},
            Geo(*AUSTRALIA, *AS),
        )
    ],
    "ip-location-db country": [Layout("country ipvAll", {"country_code": "AU"}, Geo(*AUSTRALIA))],
    "ip-location-db iptoasn-country": [
        Layout("country ipv4", {"country_code": "AU"}, Geo(*AUSTRALIA)),
        Layout("country ipv4", {"country_code": "AP"}, None),
    ],
    "ip-location-db city": [
        Layout(
            "city ipv4",
            {"city": "", "country_code": "AU", "latitude": -33.9, "longitude": 151.2, "postcode": "", "state1": ""},
            Geo(*AUSTRALIA),
        ),
        Layout("city ipv4", {"city": "", "country_code": "", "postcode": ""}, None),
    ],
    "ip-location-db asn": [Layout("asn ipvAll", CLOUDFLARE, Geo(None, None, *AS))],
    "IPinfo country (free)": [
        Layout(
            "ipinfo generic_country_free.mmdb",
            {"continent": "OC", "continent_name": "Oceania", "country": "AU", "country_name": "Australia"},
            Geo(*AUSTRALIA),
        )
    ],
    "IPinfo country ASN (free)": [
        Layout(
            "ipinfo generic_country_free_country_asn.mmdb",
            {
                "as_domain": "cloudflare.com",
                "as_name": "Cloudflare, Inc.",
                "asn": "AS13335",
                "continent": "OC",
                "continent_name": "Oceania",
                "country": "AU",
                "country_name": "Australia",
            },
            Geo(*AUSTRALIA, *AS),
        ),
        Layout(
            "ipinfo generic_country_free_country_asn.mmdb",
            {"as_domain": "", "as_name": "", "asn": "", "country": "AU", "country_name": "Australia"},
            Geo(*AUSTRALIA),
        ),
    ],
    "IPinfo Lite, Core, Plus": [
        Layout(
            "ipinfo bundle_location_lite.mmdb",
            {
                "as_domain": "cloudflare.com",
                "as_name": "Cloudflare, Inc.",
                "asn": "AS13335",
                "continent": "Oceania",
                "continent_code": "OC",
                "country": "Australia",
                "country_code": "AU",
            },
            Geo(*AUSTRALIA, *AS),
        ),
        Layout(
            "ipinfo bundle_location_core.mmdb",
            PLACE | {"as_type": "hosting", "country": "Australia", "country_code": "AU", "is_anycast": True},
            Geo(*AUSTRALIA),
        ),
    ],
    "IPinfo ASN (free)": [
        Layout(
            "ipinfo generic_asn_free.mmdb",
            {"asn": "AS13335", "domain": "cloudflare.com", "name": "Cloudflare, Inc."},
            Geo(None, None, *AS),
        )
    ],
    "IPinfo ASN": [
        Layout(
            "ipinfo standard_asn_new.mmdb",
            {
                "asn": "AS13335",
                "country": "US",
                "domain": "cloudflare.com",
                "name": "Cloudflare, Inc.",
                "type": "hosting",
            },
            Geo(None, None, *AS),
        ),
        Layout(
            "ipinfo generic_asn_mmdb_v4.mmdb",
            {"asn": "AS13335", "domain": "cloudflare.com", "name": "Cloudflare, Inc.", "route": "1.0.0.0/24"},
            Geo(None, None, *AS),
        ),
    ],
    "IPinfo carrier": [
        Layout(
            "ipinfo standard_carrier_mmdb.mmdb",
            {"carrier": "Telstra", "cc": "AU", "mcc": "505", "mnc": "01", "network": "1.120.0.0-1.124.15.255"},
            Geo(*AUSTRALIA, org="Telstra"),
        )
    ],
    "IPinfo carrier, newer form": [
        Layout(
            "ipinfo standard_carrier_new.mmdb",
            {"country": "AU", "mcc": "505", "mnc": "01", "name": "Telstra"},
            Geo(*AUSTRALIA, org="Telstra"),
        )
    ],
    "IPinfo location": [
        Layout("ipinfo standard_location_mmdb.mmdb", PLACE | {"country": "AU", "lat": "-33.9"}, Geo(*AUSTRALIA)),
        Layout(
            "ipinfo extended_location_v2.mmdb",
            PLACE | {"country": "AU", "country_name": "Australia", "radius": "5000"},
            Geo(*AUSTRALIA),
        ),
    ],
    "IPinfo location, newer form": [
        Layout(
            "ipinfo standard_location_new.mmdb",
            PLACE | {"continent_code": "OC", "country": "Australia", "country_code": "AU", "latitude": -33.9},
            Geo(*AUSTRALIA),
        )
    ],
    "IPinfo company": [
        Layout(
            "ipinfo standard_company.mmdb",
            {
                "as_domain": "cloudflare.com",
                "as_name": "Cloudflare, Inc.",
                "asn": "AS13335",
                "country": "AU",
                "name": "APNIC and Cloudflare DNS Resolver project",
            },
            Geo(*AUSTRALIA, *AS),
        ),
        Layout(
            "ipinfo standard_company.mmdb",
            {"as_name": "", "asn": "", "country": "AU", "name": "APNIC and Cloudflare DNS Resolver project"},
            Geo(*AUSTRALIA),
        ),
    ],
    "IPinfo, older": [
        Layout("ipinfo", {"country": "AU", "org": "AS13335 Cloudflare, Inc."}, Geo(*AUSTRALIA, *AS)),
    ],
    "CIRCL Geo Open country": [Layout("GeoOpen-Country", {"country": {"iso_code": "AU"}}, Geo(*AUSTRALIA))],
    "CIRCL Geo Open country ASN": [
        Layout(
            "GeoOpen-Country-ASN",
            {
                "country": {
                    "AutonomousSystemNumber": "13335",
                    "AutonomousSystemOrganization": "Cloudflare, Inc.",
                    "iso_code": "AU",
                }
            },
            Geo(*AUSTRALIA, *AS),
        ),
        Layout(
            "GeoOpen-Country-ASN",
            {"country": {"AutonomousSystemNumber": "13335", "AutonomousSystemOrganization": "", "iso_code": "None"}},
            Geo(asn="AS13335"),
        ),
    ],
    "ipapi.is location": [
        Layout(
            "ipinfo geolocation.mmdb",
            {"accuracy": "1.2", "city": "Brisbane", "continent": "OC", "country": "Australia", "countryCode": "AU"},
            Geo(*AUSTRALIA),
        ),
    ],
    "ipapi.is VPN": [
        Layout(
            "ipinfo vpn.mmdb",
            {"countryCode": "au", "exitNodeType": "exit_node", "serviceName": "Example VPN"},
            Geo(*AUSTRALIA),
        )
    ],
    "ipapi.is ASN": [
        Layout(
            "ipinfo asn.mmdb",
            {
                "active": "true",
                "asn": "13335",
                "country": "us",
                "descr": "CLOUDFLARENET - Cloudflare, Inc., US",
                "domain": "cloudflare.com",
                "org": "Cloudflare, Inc.",
                "rir": "ARIN",
                "route": "1.0.0.0/24",
                "type": "hosting",
            },
            Geo(None, None, *AS),
        )
    ],
}
CASES = [
    pytest.param(layout, id=f"{name}-{number}") for name, all_ in LAYOUTS.items() for number, layout in enumerate(all_)
]


@pytest.mark.parametrize("layout", CASES)
async def test_a_layout(tmp_path: Path, layout: Layout) -> None:
    """What it says beside a record that bangeod can use, so that the file is one that is taken into use."""
    networks = {"1.0.0.0/24": layout.record, "9.9.9.0/24": {"country_code": "CH"}, "2606:4700::/32": layout.record}
    path = write_mmdb(tmp_path / "geo.mmdb", networks, database_type=layout.database_type)
    files = MmdbFiles([path])
    await files.refresh()
    assert files.find("1.0.0.1") == layout.geo
    assert files.find("2606:4700::1111") == layout.geo
    files.close()


@pytest.mark.parametrize("name", ["GeoIP2 Anonymous IP", "GeoIP2 Connection Type", "GeoIP2 Domain"])
async def test_a_file_that_says_nothing_we_keep_is_refused(tmp_path: Path, name: str) -> None:
    (layout,) = LAYOUTS[name]
    path = write_mmdb(tmp_path / "geo.mmdb", {"1.0.0.0/24": layout.record}, database_type=layout.database_type)
    files = MmdbFiles([path])
    await files.refresh()
    (state,) = files.states()
    assert state.status is FileStatus.REFUSED
    assert "has neither countries nor AS numbers" in str(state.problem)


async def test_an_as_file_of_ipinfo_takes_no_country_from_where_the_as_is_registered(tmp_path: Path) -> None:
    """The country comes from the other file, whichever of them is listed first."""
    (country,), (asn, _) = LAYOUTS["IPinfo country (free)"], LAYOUTS["IPinfo ASN"]
    paths = [
        write_mmdb(tmp_path / f"{number}.mmdb", {"1.0.0.0/24": layout.record}, database_type=layout.database_type)
        for number, layout in enumerate((asn, country))
    ]
    for order in (paths, paths[::-1]):
        files = MmdbFiles(order)
        await files.refresh()
        assert files.find("1.0.0.1") == Geo(*AUSTRALIA, *AS)
        files.close()


def test_the_documented_layouts_are_those_that_are_tested() -> None:
    assert layouts.__doc__ is not None
    _, _, rows, *_ = re.split(r"^=+  =+  =+$", layouts.__doc__, flags=re.MULTILINE)
    documented = [row[:33].strip() for row in rows.splitlines() if row[:33].strip()]
    assert documented == list(LAYOUTS)
