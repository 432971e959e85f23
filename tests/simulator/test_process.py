"""The simulator as an object and as a process: it starts, says where it is, and ends cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

import ccxt_mcp
from ccxt_mcp.simulator import Simulator, ccxt_config


async def launch(*options: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": str(Path(ccxt_mcp.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-m", "ccxt_mcp.simulator", *options]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stderr=pipe, stdout=pipe, env=environment)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_tells_its_address_and_ends_on_a_signal(number: signal.Signals) -> None:
    process = await launch("--port", "0", "--seed", "3", "--latency-ms", "1")
    try:
        assert process.stderr is not None
        words = (await process.stderr.readline()).decode().split()
        assert words[0] == "simulator:"
        async with aiohttp.ClientSession(words[1]) as http, http.get("/v5/market/time") as reply:
            assert (await reply.json())["retCode"] == 0
            process.send_signal(number)
            assert await asyncio.wait_for(process.communicate(), 10) == (b"", b"")
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_that_cannot_listen_says_so_in_one_line() -> None:
    async with Simulator() as simulator:
        port = simulator.url.rsplit(":", 1)[1]
        process = await launch("--port", port)
        _, words = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 1
    assert words.decode().count("\n") == 1
    assert f"cannot listen on port {port}" in words.decode()


async def test_it_can_be_started_again_after_closing_and_leaves_nothing_behind() -> None:
    simulator = Simulator()
    before = asyncio.all_tasks()
    for _ in range(2):
        await simulator.start()
        with pytest.raises(RuntimeError, match="already running"):
            await simulator.start()
        async with aiohttp.ClientSession(simulator.url) as http, http.get("/v5/market/time") as reply:
            assert reply.status == 200
        await simulator.close()
        await simulator.close()
    assert asyncio.all_tasks() == before
    with pytest.raises(RuntimeError, match="not running"):
        _ = simulator.url


async def test_a_taken_port_is_an_error_and_no_leak() -> None:
    async with Simulator() as first:
        with pytest.raises(OSError, match="address already in use"):
            await Simulator().start(int(first.url.rsplit(":", 1)[1]))


async def test_the_configuration_is_the_same_from_the_outside() -> None:
    async with Simulator() as simulator:
        assert simulator.ccxt_config() == ccxt_config(simulator.url)
        streams = ccxt_config(simulator.url)["urls"]["api"]["ws"]["public"]
        assert streams["spot"] == simulator.url.replace("http", "ws") + "/v5/public/spot"
