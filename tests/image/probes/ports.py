"""Print what listens, on TCP and UDP, as JSON: [[protocol, port, whether only programs of the image reach it], ...]."""

import json
from pathlib import Path

# States of sockets that wait for anybody: of UDP's, those that are connected to nobody
# https://github.com/torvalds/linux/blob/master/include/net/tcp_states.h
WAITING = {"tcp": "0A", "udp": "07"}
# The kernel prints addresses as 32-bit words, each in the machine's byte order: ::1 and ::ffff:0:0
LOOPBACK_6 = "00000000000000000000000001000000"
MAPPED_4 = "0000000000000000FFFF0000"


def loopback(address: str) -> bool:
    return address == LOOPBACK_6 or (len(address.removeprefix(MAPPED_4)) == 8 and address.endswith("7F"))


found = set()
for protocol, waiting in WAITING.items():
    for table in (protocol, f"{protocol}6"):
        try:
            rows = Path("/proc/net", table).read_text().splitlines()[1:]
        except FileNotFoundError:  # no IPv6
            continue
        for row in rows:
            local, state = row.split()[1], row.split()[3]
            address, port = local.split(":")
            if state == waiting:
                found.add((protocol, int(port, 16), loopback(address)))
print(json.dumps(sorted(found)))
