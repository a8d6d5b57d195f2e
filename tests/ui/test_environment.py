"""What the environment says of the network is for what goes there, not for the app's own calls."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

IMPORT = """
import os
from fine_tuner.ui.environment import no_proxy
with no_proxy():
    import gradio
assert os.environ.get("NO_PROXY") == {kept!r}, "what goes to the network later asks the proxy"
"""


@pytest.mark.parametrize(("proxy", "kept"), [("socks5://127.0.0.1:9", None), ("odd:/proxy", "intranet")])
def test_the_app_can_be_imported_whatever_proxy_is_named(proxy: str, kept: str | None) -> None:
    names = ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "no_proxy")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"ALL_PROXY": proxy, "HTTPS_PROXY": proxy} | ({"NO_PROXY": kept} if kept else {})
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(kept=kept)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
