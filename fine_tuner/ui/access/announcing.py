"""What the terminal says of links, of the tunnel and of strangers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fine_tuner.ui.access import texts
from fine_tuner.ui.access.links import LINK_SECONDS, ROLES
from fine_tuner.ui.access.sharing import Sharing
from fine_tuner.ui.access.tunnel import TunnelState

WHOM = {"owner": "you alone", "viewer": "those who watch"}
Say = Callable[[str], object]


def tell_of_stranger(sharing: Sharing, address: str, say: Say) -> Callable[[], object]:
    """What to do when another user of this machine asks for the page: say so, once, with a way in."""
    said = threading.Lock()  # taken for good the first time

    def tell() -> None:
        if said.acquire(blocking=False):
            link = sharing.access.links.make("owner", LINK_SECONDS)
            say(texts.STRANGER.format(link=sharing.link_text(link, address)))

    return tell


def say_links(sharing: Sharing, addresses: list[str], say: Say) -> None:
    """Both links, for every address given; the viewer's for this machine if there is none."""
    for role in ROLES:
        link = sharing.access.links.get(role)
        for address in addresses if link else []:
            say(f"For {WHOM[role]}: {sharing.link_text(link, address)}")
    viewer = sharing.access.links.get("viewer")
    if not addresses and viewer is not None:
        say(f"For {WHOM['viewer']}: {sharing.link_text(viewer, f'http://127.0.0.1:{sharing.port}')}")


def tell_tunnel(state: TunnelState, sharing: Sharing, say: Say) -> None:
    """What became of the tunnel."""
    if state.address:
        say_links(sharing, [state.address], say)
    else:
        say(texts.NO_TUNNEL.format(error=state.error))
        say(f"    ssh -N -R 8080:127.0.0.1:{sharing.port} you@your.server    or a proxy, with --root-path")
