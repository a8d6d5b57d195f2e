"""The assistant: commands answered in a child that may die, hang or print what it likes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from fine_tuner.launch.assistant import Assistant, Ticket
from fine_tuner.launch.environment import child_environment
from fine_tuner.launch.serve import answer
from tests.launch.conftest import HERE
from tests.runs.logs import wait_until

COMMAND = [sys.executable, str(HERE / "fake_program.py"), "serve"]


@pytest.fixture(scope="module")
def shared():
    """One assistant for tests that leave it as it was."""
    assistant = Assistant(COMMAND)
    yield assistant
    assistant.close()


@pytest.fixture
def assistant():
    assistant = Assistant(COMMAND)
    yield assistant
    assistant.close()


@pytest.mark.parametrize(
    ("argv", "code", "out", "err"),
    [
        (["echo", "hällo", "a\nb"], 0, "hällo a\nb\n", ""),
        (["exit", "4"], 4, "", ""),
        (["exit", "said why"], 1, "", "said why\n"),
        (["unheard-of"], 2, "", "error: unknown command\n"),
        (["read"], 0, "''\n", ""),
        (["noise"], 0, "heard\n", ""),
    ],
)
def test_a_command_is_answered_with_code_and_output(shared, argv, code, out, err):
    reply = shared.call(argv)
    assert (reply.code, reply.out, reply.err) == (code, out, err)


def test_an_exception_is_an_answer_and_the_process_stays(shared):
    before = shared.call(["pid"]).out
    reply = shared.call(["fail"])
    assert reply.code == 1
    assert "RuntimeError: broken on purpose" in reply.err
    assert shared.call(["pid"]).out == before


def test_lines_arrive_while_the_command_works(shared):
    heard = []
    reply = shared.call(["progress"], on_line=heard.append)
    assert heard == ["reading 0/3", "reading 1/3", "reading 2/3"]
    assert reply.err == "".join(line + "\n" for line in heard)


def test_a_command_cannot_leave_the_process_in_another_folder(shared, tmp_path):
    before = shared.call(["cwd"]).out
    shared.call(["chdir", str(tmp_path)])
    assert shared.call(["cwd"]).out == before


def test_secrets_stay_with_the_app(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("FINE_TUNER_ODDITY", "kept")
    assistant = Assistant(COMMAND)
    assert assistant.call(["env", "HF_TOKEN"]).out == "unset\n"
    assert assistant.call(["env", "FINE_TUNER_ODDITY"]).out == "kept\n"
    assistant.close()


def test_it_is_started_anew_after_death_and_says_its_last_words(assistant):
    before = assistant.call(["pid"]).out
    reply = assistant.call(["die"])
    assert reply.code == 137
    assert "ended unexpectedly (exit code 3)" in reply.err
    assert "last words" in reply.err
    assert assistant.call(["pid"]).out != before


def test_a_command_that_takes_too_long_is_ended(assistant):
    pid = int(assistant.call(["pid"]).out)
    began = time.monotonic()
    reply = assistant.call(["sleep", "60"], timeout=0.2)
    assert time.monotonic() - began < 5
    assert (reply.code, reply.err) == (124, "sleep took longer than 0.2 s and was ended.")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert assistant.call(["echo", "again"]).out == "again\n"


def asked_in_a_thread(assistant, argv, ticket=None):
    """The thread, and the list that its reply goes to."""
    replies = []
    thread = threading.Thread(target=lambda: replies.append(assistant.call(argv, ticket=ticket)))
    thread.start()
    return thread, replies


def test_a_command_can_be_cancelled_and_cancelling_what_is_over_does_nothing(assistant):
    over, ticket = Ticket(), Ticket()
    pid = assistant.call(["pid"], ticket=over).out
    assistant.cancel(over)
    assert assistant.call(["pid"]).out == pid
    thread, replies = asked_in_a_thread(assistant, ["sleep", "60"], ticket)
    wait_until(lambda: ticket.number is not None)
    assistant.cancel(over)  # of another request
    thread.join(0.2)
    assert thread.is_alive()
    assistant.cancel(ticket)
    thread.join(5)
    assert replies[0].code == 130
    assert assistant.call(["echo", "again"]).code == 0


def test_what_is_cancelled_while_it_waits_never_begins_and_the_others_go_on(assistant):
    first, second = Ticket(), Ticket()
    pid = assistant.call(["pid"]).out
    running, heard = asked_in_a_thread(assistant, ["sleep", "1"], first)
    wait_until(lambda: first.number is not None)
    waiting, replies = asked_in_a_thread(assistant, ["exit", "3"], second)
    assistant.cancel(second)
    running.join(10)
    waiting.join(5)
    assert (heard[0].code, replies[0].code, second.number) == (0, 130, None)
    assert assistant.call(["pid"]).out == pid


def test_threads_take_turns_and_each_gets_its_own_answer(shared):
    replies = {}

    def ask(n):
        replies[n] = shared.call(["echo", str(n)]).out

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == {n: f"{n}\n" for n in range(20)}


def test_closing_ends_the_process_and_what_waits(assistant):
    pid = int(assistant.call(["pid"]).out)
    assert assistant.is_running
    replies = []
    thread = threading.Thread(target=lambda: replies.append(assistant.call(["sleep", "60"])))
    thread.start()
    wait_until(lambda: assistant._current is not None)
    assistant.close()
    thread.join(5)
    assert [reply.code for reply in replies] == [130]
    assert assistant.call(["echo", "x"]).code == 130
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_is_not_there_is_an_answer():
    reply = Assistant(["/no/such/program"]).call(["echo"])
    assert reply.code == 137
    assert "cannot be started" in reply.err


def test_it_ends_with_its_app():
    child = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()
    )  # fmt: skip
    out, _ = child.communicate(b'not json\n\n{"id": 7, "argv": ["echo", "x"]}\n{"argv": 3}\n', timeout=10)
    assert child.returncode == 0
    first, second, third = map(json.loads, out.splitlines())
    assert (first["id"], first["code"]) == (None, 2)
    assert second == {"id": 7, "code": 0, "out": "x\n", "err": ""}
    assert third["code"] == 2


def test_output_without_end_is_cut(capsys):
    def main(argv):
        for _ in range(100):
            print("x" * 100_000)

    reply = answer([], main, lambda line: None)
    assert reply["code"] == 0
    assert 4_000_000 <= len(reply["out"]) < 4_300_000
    assert capsys.readouterr().out == ""
