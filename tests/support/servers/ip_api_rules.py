"""What a batch for ip-api.com must not hold. Trusts nothing of bangeod's own: addresses are judged by ``ipaddress``."""

import ipaddress
import json

MOST = 100  # addresses


def judge_addresses(body: bytes) -> list[str]:
    """Return what is wrong with a batch."""
    try:
        asked = json.loads(body)
    except ValueError:
        return ["the content is not JSON"]
    if not isinstance(asked, list) or not all(isinstance(ip, str) for ip in asked):
        return ["the content is not an array of strings"]
    offences = [] if 0 < len(asked) <= MOST else [f"{len(asked)} addresses"]
    if len(set(asked)) < len(asked):
        offences.append("an address twice")
    for text in asked:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            offences.append(f"{text!r} is no address")
            continue
        if not address.is_global or address.is_multicast:
            offences.append(f"{text} is not routable")
    return offences
