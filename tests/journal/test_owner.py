"""Owners: a process that has ended is known as such, and no other is taken for it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ccxt_mcp.journal.owner import Owner

HERE = Owner.here("token")


def test_a_process_knows_itself_and_lives():
    assert (HERE.pid, HERE.token) == (os.getpid(), "token")
    assert Owner.here("token") == HERE
    assert not HERE.gone


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell when a process began")
def test_a_process_that_began_at_another_time_is_another():
    assert replace(HERE, start="1").gone


def test_a_process_on_another_host_may_live():
    assert not replace(HERE, host="elsewhere", pid=2**22 + 1).gone


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell when a process began")
def test_a_process_is_gone_when_it_has_ended_although_nobody_took_notice():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        start = Path(f"/proc/{process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
        child = replace(HERE, pid=process.pid, start=start)
        assert not child.gone
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert child.gone
    assert child.gone
