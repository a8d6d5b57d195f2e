"""Whose process is at the other end of a connection over loopback: how other users of the machine are kept out.

Linux tells the user of every socket, through the ``sock_diag`` netlink family (one question for one socket, 20 us) or
the table ``/proc/net/tcp``. A socket whose process has let go of it has no inode and no true user any more; it counts
as unknown, so that nobody passes by hanging up at once.

A port that root passes on to loopback (of a container, of a virtual machine) must not make everyone behind it the
owner. So root is another user, except to an app that runs as root itself; and that one takes only sockets of
processes that it can see: what passes a port into a container lives outside of it.

Source: Linux ``include/uapi/linux/inet_diag.h`` and ``sock_diag.h``; ``sock_diag(7)``.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

_SOCK_DIAG_BY_FAMILY, _REQUEST, _NLMSG_ERROR = 20, 1, 2
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST_HEAD = struct.Struct("=BBBBI")  # struct inet_diag_req_v2, before its sockid
_NO_COOKIE = b"\xff" * 8
_REPLY_OWNER = 4 + 48 + 12  # into struct inet_diag_msg: after state, sockid, expires, rqueue, wqueue: uid, inode
Address = tuple[str, int]
Lookup = Callable[[Address, Address], "tuple[int, int] | None"]
Whose = Literal["ours", "another's", "nobody's"]


def whose(client: Address | None, server: Address | None) -> Whose:
    """Whose process the connection from ``client`` comes from.

    "ours" where the system does not tell (other than Linux): see SECURITY.md. "nobody's" once it has hung up.
    """
    lookup = _lookup()
    if lookup is None:
        return "ours"
    try:
        found = None if client is None or server is None else lookup(client, server)
    except (OSError, ValueError):
        found = None
    if found is None:
        return "nobody's"
    uid, inode = found
    return "ours" if uid == os.getuid() and (uid != 0 or _is_held_here(inode)) else "another's"


@lru_cache(maxsize=4096)
def _is_held_here(inode: int) -> bool:
    """Whether a process that this one, being root, can see holds the socket; asked once for each connection."""
    name = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            handles: list[str] = []
            with suppress(OSError):  # it has ended meanwhile
                handles = os.listdir(process / "fd")
            for handle in handles:
                with suppress(OSError):
                    if os.readlink(process / "fd" / handle) == name:
                        return True
    return False


@cache
def _lookup() -> Lookup | None:
    """The way that works here, tried on a connection of our own; None if none does."""
    if sys.platform != "linux":
        return None
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        for way in (_by_netlink, _by_table):
            try:
                found = way(ours.getsockname(), ours.getpeername())
            except (OSError, ValueError):
                continue
            if found is not None and found[0] == os.getuid():
                return way
    return None


def _by_netlink(client: Address, server: Address) -> tuple[int, int] | None:
    """User and inode of the socket bound to ``client`` and connected to ``server``; None if no process holds it.

    Raises:
        OSError: If the kernel does not answer.
        ValueError: If an address is none.
    """
    family, source = _packed(client[0])
    _, target = _packed(server[0])
    ports = struct.pack(">HH", client[1], server[1])
    sockid = ports + source.ljust(16, b"\0") + target.ljust(16, b"\0") + b"\0" * 4 + _NO_COOKIE
    body = _REQUEST_HEAD.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + sockid
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as kernel:  # 4: NETLINK_SOCK_DIAG
        kernel.settimeout(1)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0) + body)
        reply = kernel.recv(4096)
    _, kind, _, _, _ = _HEADER.unpack_from(reply)
    if kind == _NLMSG_ERROR:
        code = -struct.unpack_from("=i", reply, _HEADER.size)[0]
        if code == 2:  # ENOENT: closed and forgotten
            return None
        raise OSError(code, os.strerror(code))
    uid, inode = struct.unpack_from("=II", reply, _HEADER.size + _REPLY_OWNER)
    return (uid, inode) if inode else None


def _by_table(client: Address, server: Address) -> tuple[int, int] | None:
    """As ``_by_netlink``, from the table of all connections: slower where there are many."""
    family, source = _packed(client[0])
    _, target = _packed(server[0])
    wanted = f"{_hex(source)}:{client[1]:04X}", f"{_hex(target)}:{server[1]:04X}"
    table = Path("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp")
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == wanted:
            return (int(fields[7]), int(fields[9])) if int(fields[9]) else None
    return None


def _packed(host: str) -> tuple[int, bytes]:
    address = ipaddress.ip_address(host)
    return (socket.AF_INET6 if address.version == 6 else socket.AF_INET), address.packed


def _hex(packed: bytes) -> str:
    """As the table writes an address: 32-bit words in the machine's order."""
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))
