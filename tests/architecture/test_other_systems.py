"""What only Linux has is asked for before it is used, so that macOS gets by without it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Of Python's documentation, "Availability": Linux, or "not macOS" in a version that this package runs on (3.11 on).
LINUX_ONLY = {
    "os": {
        "copy_file_range", "eventfd", "fdatasync", "getresgid", "getresuid", "memfd_create", "pidfd_open", "pipe2",
        "posix_fadvise", "posix_fallocate", "sched_getaffinity", "sched_param", "sched_setaffinity",
        "sched_setscheduler", "setns", "setresgid", "setresuid", "splice", "unshare", "waitid", "O_DIRECT", "O_PATH",
        "O_TMPFILE", "SCHED_BATCH", "SCHED_IDLE",
    },
    "signal": {"SIGPOLL", "SIGPWR", "SIGRTMAX", "SIGRTMIN", "SIGSTKFLT", "sigtimedwait", "sigwaitinfo"},
    "socket": {"AF_NETLINK", "AF_PACKET", "AF_VSOCK", "SO_PEERCRED", "TCP_USER_TIMEOUT"},
    "fcntl": {"F_ADD_SEALS", "F_NOTIFY", "F_OFD_GETLK", "F_OFD_SETLK", "F_SETPIPE_SZ"},
    "resource": {"RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RUSAGE_THREAD", "prlimit"},
    "time": {"CLOCK_BOOTTIME", "CLOCK_TAI", "pthread_getcpuclockid"},
    "select": {"epoll"},
}  # fmt: skip
FILES = ("/proc/", "/sys/", "/dev/shm")


def uses(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What only Linux has, with its line: an attribute of a module, or a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in LINUX_ONLY.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}", node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(FILES):
            yield node.value, node.lineno


def guards(function: str) -> bool:
    """Whether a piece of code asks what system it is on, or does without what is missing."""
    return any(word in function for word in ("hasattr(", "sys.platform", "OSError", "exists()", "is_dir()"))


# Where ``_lookup`` of this file has asked already; elsewhere it answers None (SECURITY.md says what that means).
ON_LINUX = {("ui/access/peer.py", "/proc/net/tcp"), ("ui/access/peer.py", "/proc/net/tcp6")}


def test_what_only_linux_has_is_asked_for_first():
    found, bare = 0, []
    for path in sorted((ROOT / "fine_tuner").rglob("*.py")):
        text = path.read_text()
        tree = ast.parse(text)
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        for what, line in uses(tree):
            around = [ast.get_source_segment(text, f) for f in functions if f.lineno <= line <= (f.end_lineno or 0)]
            found += 1
            if not any(guards(code or "") for code in around or [text]):
                bare.append((str(path.relative_to(ROOT / "fine_tuner")), what))
    assert found >= 8
    assert set(bare) == ON_LINUX


@pytest.mark.parametrize(
    ("code", "is_guarded"),
    [
        ("def f():\n    return os.waitid(os.P_PID, 1, 0)", False),
        ("def f():\n    return os.waitid(os.P_PID, 1, 0) if hasattr(os, 'waitid') else None", True),
    ],
)
def test_a_bare_use_is_found(code, is_guarded):
    (use,) = uses(ast.parse(code))
    assert use == ("os.waitid", 2)
    assert guards(code) == is_guarded
