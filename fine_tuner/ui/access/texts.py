"""Words of the guard, of sharing and of refusals.

A text with braces is a ``str.format`` template.
"""

from __future__ import annotations

READ_ONLY = "This page is read-only for you. Only the owner can change things."
CROSS_SITE = "Refused: the request comes from another web site."
NOT_SERVED = "This address is not served here. Open http://127.0.0.1 with the port."
TOO_MANY = "Too many requests. Wait a few seconds."
TOO_MANY_TOKENS = "Too many tries with a wrong token. Wait a minute."
TOO_LARGE = "The request is too large."
TOO_SLOW = "The request came too slowly."
NOT_SIGNED_IN = "Not signed in. Open the link that the app printed when it started, or that its owner gave you."
NO_TUNNEL = (
    "No public link: the tunnel could not be opened ({error}). The page is served here all the same; lead people to it "
    "with ssh -R or a reverse proxy instead."
)
NO_LINK = "There is no {role} link. Make one first."
NO_OWNER_LINK = (
    "On this machine the owner needs no link. Start the app with --share or --host to get one for other machines."
)
STRANGER = "Another user of this machine asked for the page and was refused. If that was you, open this link: {link}"
