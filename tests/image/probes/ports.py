"""Print the TCP ports that are open to more than loopback, as JSON."""

import json
from pathlib import Path

LISTEN = "0A"
# The kernel prints addresses as 32-bit words, each in the machine's byte order: ::1 and ::ffff:0:0
LOOPBACK_6 = "00000000000000000000000001000000"
MAPPED_4 = "0000000000000000FFFF0000"


def loopback(address: str) -> bool:
    return address == LOOPBACK_6 or (len(address.removeprefix(MAPPED_4)) == 8 and address.endswith("7F"))


ports = set()
for table in ("tcp", "tcp6"):
    try:
        rows = Path("/proc/net", table).read_text().splitlines()[1:]
    except FileNotFoundError:  # no IPv6
        continue
    for row in rows:
        local, state = row.split()[1], row.split()[3]
        address, port = local.split(":")
        if state == LISTEN and not loopback(address):
            ports.add(int(port, 16))
print(json.dumps(sorted(ports)))
