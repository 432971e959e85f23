"""Pump: the only one who awaits ccxt for a stream, and brings it back up whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import structlog

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.live import Live
from ccxt_mcp.streams.channels import Channel, book_limit
from ccxt_mcp.streams.freeze import FREEZE, lost_rows
from ccxt_mcp.streams.ledgers import Rest
from ccxt_mcp.streams.source import Source
from ccxt_mcp.streams.stream import Stream

log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_STEADY = 10.0  # seconds of work after which a stream that breaks is not called a failing one
_LONGEST_PATIENCE = 8  # times a channel's own, for markets that are just quiet
_STUCK = frozenset({2, 4, 8, 16})  # silences in a row after which the connection of what has no `unWatch…` is made anew
_CHANCES = 3  # that a stream which worked has after what may pass, such as a clock that is off or a wall in between
_UNWATCH = 5.0  # seconds for the exchange to confirm
_LOOK = 0.1  # seconds between two looks whether there is a connection yet
_SETTLED = 0.5  # seconds that a subscription takes, after which a request tells of everything before it
_LATE = 2.0  # seconds that a message may take, after a request showed what it tells
_IN_A_ROW = 100  # updates that ccxt had ready, after which others get their turn
_APART = 0.5  # seconds between two such requests of one instance, however many streams it has
_OUT_OF_STEP = frozenset({"ChecksumError", "InvalidNonce"})  # what ccxt calls a book that lost an increment
_UNAVAILABLE = frozenset({Code.METHOD_NOT_SUPPORTED, Code.INVALID_ARGUMENT, Code.REFUSED, Code.EXCHANGE_ERROR})
_MAY_PASS = frozenset({Code.CREDENTIALS_REJECTED, Code.ACCESS_BLOCKED})
_EVENTFUL = frozenset({Channel.TRADES, Channel.ORDERS, Channel.OWN_TRADES})  # of these each row was an event


class Unavailable(Exception):  # noqa: N818 - no error: the exchange has it not
    """The exchange sends no such stream; it can be asked instead."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Pump:
    """Awaits updates of one stream from one ccxt.pro instance.

    Args:
        stream: to which it tells them.
        live: the instance.
        rest: asks for the same by requests.
        jitter: a number between 0 and 1 for each pause.
        patience: scales the seconds after which a silent stream is called stale.
        beside: the other streams of the instance.
    """

    def __init__(
        self,
        stream: Stream,
        live: Live,
        rest: Rest,
        *,
        jitter: Callable[[], float],
        patience: float = 1.0,
        beside: Callable[[], Sequence[Stream]] = tuple,
    ) -> None:
        self._beside = beside
        self._doubted = asyncio.Event()
        self._stream = stream
        self._live = live
        self._rest = rest
        self._jitter = jitter
        self._channel = stream.key.channel
        self._row = stream.row
        self._patience = stream.row.patience * patience
        self._waits = self._patience
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._silence: asyncio.TimerHandle | None = None
        self._interrupted: Failure | None = None
        self._told: Failure | None = None
        self._task: asyncio.Task[Any] | None = None
        self._audit: asyncio.Task[None] | None = None
        self._had_data = False
        self._worked = False
        self._silences = 0
        self._subscribed = False
        self._untrue = False

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            Unavailable: the exchange has no such stream.
            Failure: it cannot work until a human changes something, such as credentials that are rejected.
        """
        self._task = asyncio.current_task()
        if self._row.private:
            self._live.enter()
            await self._fill()  # the state before the first message
        failures = 0
        try:
            while True:
                started = self._loop.time()
                failure = await self._flow_until_it_breaks()
                if self._loop.time() - started >= _STEADY:
                    failures = 0
                if self._stream.state != "stale" and failure is not self._told:
                    self._stream.broke(failure)
                self._give_up_if_useless(failure, failures)
                stuck = self._untrue or self._silences in _STUCK
                if self._subscribed and not await self.unwatch() and stuck:
                    await self._live.reconnect()
                await asyncio.sleep(self._pause(failures))
                failures += 1
        finally:
            await self._stop_audit()

    async def unwatch(self) -> bool:
        """End the subscription at the exchange where it has a way for that; return whether it did."""
        if not self._live.offers(self._row.unwatch):
            return False
        arguments = [] if self._channel is Channel.BALANCE else self._market_arguments()
        if self._channel is Channel.BOOK and (limit := self._book_limit()) is not None:
            arguments.append({"limit": limit})
        ways = [arguments]
        if self._row.private and arguments and all(one.key.channel != self._channel for one in self._beside()):
            ways.append([])  # some exchanges end all of a channel or nothing
        for way in ways:
            try:
                async with asyncio.timeout(_UNWATCH):
                    await getattr(self._live.exchange, self._row.unwatch)(*way)
            except Exception as error:  # noqa: BLE001 - as below
                log.debug("not unsubscribed", reason=self._live.failure(error).code.value.reason)
            else:
                return True
        return False

    def doubt(self) -> None:
        """Look soon whether the stream left something out: another one of the same instance is in trouble."""
        if self._stream.state == "live":
            self._doubted.set()

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def _flow_until_it_breaks(self) -> Failure:
        """Pass updates on; return why there are no more for now."""
        self._had_data = self._subscribed = self._untrue = False
        self._audit = asyncio.create_task(self._look_after()) if self._row.audit else None
        self._heard_at = self._loop.time()
        self._watch_for_silence()
        try:
            await self._flow()
        except asyncio.CancelledError:
            told, self._interrupted = self._interrupted, None
            cancelled = self._task.uncancel() if told is not None and self._task else self._cancelling()
            if cancelled:
                raise
            self._subscribed = told is not None
            return told or Failure(Code.NETWORK, f"{self._live.key.exchange} lost its connection.")
        except Exception as error:  # noqa: BLE001 - the one place where streams meet foreign errors; all become a Failure
            self._untrue = isinstance(error, Failure)
            out_of_step = self._channel is Channel.BOOK and type(error).__name__ in _OUT_OF_STEP
            self._subscribed = self._untrue or out_of_step
            failure = self._live.failure(error)
            return self._lost_its_place() if out_of_step else failure
        finally:
            if self._silence is not None:
                self._silence.cancel()
            await self._stop_audit()

    def _lost_its_place(self) -> Failure:
        return Failure(Code.BAD_REPLY, f"{self._live.key.exchange} left an increment of the order book out.")

    def _cancelling(self) -> int:
        return self._task.cancelling() if self._task is not None else 0

    async def _flow(self) -> NoReturn:
        stream, ledger, symbol = self._stream, self._stream.ledger, self._stream.key.symbol
        watch, freeze = getattr(self._live.exchange, self._row.watch), FREEZE[self._channel]
        source = Source(
            self._live, self._channel, symbol, stream.key.timeframe, watch=watch, arguments=self._watch_arguments()
        )
        in_a_row = 0
        while True:
            value = await source.next()
            data = freeze(self._live, value, symbol)
            self._heard_at = self._loop.time()
            if not self._had_data:
                self._begin()
            if lost := lost_rows(self._live, self._channel, value, symbol):
                stream.missed(lost)
            if data is not None and (news := ledger.take(data)) is not None:
                stream.data(news, "stream")
            in_a_row += 1
            if in_a_row >= _IN_A_ROW:
                in_a_row = 0
                await asyncio.sleep(0)

    def _begin(self) -> None:
        """Note that updates come; those after a silence are behind a gap."""
        self._had_data = self._worked = True
        self._waits = self._patience
        self._silences = 0
        if self._stream.state == "stale":
            self._stream.broke(Failure(Code.TIMEOUT, f"{self._live.key.exchange} was silent for too long."))

    def _give_up_if_useless(self, failure: Failure, failures: int) -> None:
        may_pass = self._worked and failures < _CHANCES and failure.code in _MAY_PASS
        if failure.code.retryable or failure.code is Code.INTERNAL or may_pass:
            return
        if failure.code not in _UNAVAILABLE:
            raise failure
        if not self._worked:
            raise Unavailable(failure)

    def _pause(self, failures: int) -> float:
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 10)) * (0.5 + self._jitter() / 2)

    # -- silence -----------------------------------------------------------------------------------------------------

    def _watch_for_silence(self) -> None:
        if self._patience == float("inf"):
            return
        due = self._heard_at + self._waits
        if due > self._loop.time():
            self._silence = self._loop.call_at(due, self._watch_for_silence)
            return
        self._waits = min(self._waits * 2, self._patience * _LONGEST_PATIENCE)
        self._silences += 1
        if self._stream.state == "live":
            self._stream.silent()
        self._interrupt(Failure(Code.TIMEOUT, f"{self._live.key.exchange} was silent for too long."))

    def _interrupt(self, failure: Failure) -> None:
        if self._interrupted is None and self._task is not None:
            self._interrupted = failure
            self._task.cancel()

    # -- requests beside the stream ------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        """Ask, once subscribed and then now and again, for what the stream left out."""
        self._rest.settling = 0.0
        pause, again = _SETTLED, _SETTLED
        while not (self._had_data or self._live.connected):  # noqa: ASYNC110 - ccxt tells nobody
            await asyncio.sleep(_LOOK)
        while True:
            await self._doubt_or(pause)
            if await self._fill():
                self._rest.settling = _LATE
                pause = max(self._row.audit, _APART * sum(bool(one.row.audit) for one in self._beside()))
            else:
                again = min(2 * again, self._row.audit)
                pause = again
            if self._stream.state == "opening":
                self._stream.up("stream")  # subscribed to for a while, and nobody objected: there is nothing to tell

    async def _doubt_or(self, seconds: float) -> None:
        """Wait until there is a doubt, and until the trouble that gave rise to it is over; or for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._doubted.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_SETTLED)
        self._doubted.clear()

    async def _fill(self) -> bool:
        """Tell what the stream left out; return whether that could be found out."""
        stream = self._stream
        try:
            data, complete = await stream.ledger.fill(self._rest)
        except Failure as failure:
            log.info("a stream was not looked after", reason=failure.code.value.reason)
            return False
        left_out = self._rest.settling > 0 and data is not None and self._channel in _EVENTFUL
        failure = Failure(Code.BAD_REPLY, f"{self._live.key.exchange} left updates out.")
        if data is not None:
            if left_out or stream.state == "stale":
                stream.broke(failure)
            stream.counters.filled += len(data) if isinstance(data, list) else 1
            stream.data(data, "rest", complete=complete)
        elif self._row.private or (complete and stream.state == "stale"):
            stream.up("rest")
        if left_out and self._row.private:
            self._told = failure
            self._interrupt(failure)
        return True

    async def _stop_audit(self) -> None:
        if self._audit is not None:
            self._audit.cancel()
            await asyncio.wait({self._audit})
            self._audit = None

    # -- arguments ---------------------------------------------------------------------------------------------------

    def _market_arguments(self) -> list[Any]:
        key = self._stream.key
        if self._channel is Channel.POSITIONS:
            return [[key.symbol]] if key.symbol else []
        if self._channel is Channel.CANDLES:
            return [key.symbol, key.timeframe]
        return [key.symbol] if key.symbol else []

    def _watch_arguments(self) -> list[Any]:
        if self._channel is Channel.BALANCE:
            return []
        limit = self._book_limit() if self._channel is Channel.BOOK else None
        return [*self._market_arguments(), limit] if limit is not None else self._market_arguments()

    def _book_limit(self) -> int | None:
        market = self._live.exchange.markets[self._stream.key.symbol]
        return book_limit(self._live.dialect, market.get("type") or "spot")
