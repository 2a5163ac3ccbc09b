"""Where processes listen: what the kernel says of their sockets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def listeners(pid: int) -> dict[str, str]:
    """Addresses on which the network of a process is listened at, by the inode of the socket."""
    found = {}
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, _, state, _, _, _, _, _, inode, *_ = row.split()
            if state == "0A":
                found[inode] = local
    return found


def listeners_of_session(session: int) -> set[str]:
    """Addresses at which the processes of a session listen: others share their network."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it is over, or another user's
            if os.getsid(int(process.name)) == session:
                for each in process.joinpath("fd").iterdir():
                    with suppress(OSError):
                        sockets.add(os.readlink(each))
    return {
        address for inode, address in listeners(session).items() if f"socket:[{inode}]" in sockets
    }


def outward(addresses: Iterable[str]) -> set[str]:
    """Those that are not loopback's."""
    return {each for each in addresses if not _is_loopback(each.partition(":")[0])}


def _is_loopback(address: str) -> bool:
    # Bytes stand reversed within words of four: 127.x.x.x ends in 7F, ::1 is 0…01000000.
    if len(address) == 8:
        return address.endswith("7F")
    mapped = address.startswith("0000000000000000FFFF0000") and address.endswith("7F")
    return mapped or address == "0" * 24 + "01000000"
