"""The adapter between our tools and the SDK: small schemas, one envelope, no error that says nothing."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial, update_wrapper
from inspect import signature
from typing import Any, Self

import structlog
from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.context_injection import find_context_parameter
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolRequestParams
from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider
from pydantic import PrivateAttr, ValidationError

from ccxt_mcp.desk.trading import Trading
from ccxt_mcp.envelope import Envelope, internal_failure
from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.gateway import Gateway
from ccxt_mcp.streams.alerting import Alerting
from ccxt_mcp.text import clean_text
from ccxt_mcp.tools import ToolSpec
from ccxt_mcp.tools.answer import answer
from ccxt_mcp.tools.human import InputNeeded

log = structlog.get_logger(__name__)

OUTPUT_SCHEMA: dict[str, Any] = {"type": "object"}
"""The envelope, which docs/envelope.md describes: said 25 times over, more would fill a model's context."""

_UNSAID = frozenset({"title", "minLength", "maxLength", "maxItems"})  # of a schema: bounds that no model comes near


class GatewayTool(Tool):
    """A tool of the catalogue, bound to a gateway."""

    _gateway: Gateway = PrivateAttr()
    _private: bool = PrivateAttr(default=False)

    @classmethod
    def bind(cls, spec: ToolSpec, trading: Trading, alerting: Alerting) -> Self:
        """Return the SDK's tool for a catalogue entry; the function gets what its first parameter names."""
        gateway = trading.gateway
        first = next(iter(signature(spec.function).parameters))
        rooms = {"gateway": gateway, "trading": trading, "alerting": alerting}
        function = partial(spec.function, rooms[first])
        update_wrapper(function, spec.function)
        vars(function).pop("__wrapped__")  # or its signature would have the gateway back
        bound = cls.from_function(
            function,
            name=spec.name,
            title=spec.title,
            description=(spec.function.__doc__ or "").partition("\n")[0],
            context_kwarg=find_context_parameter(spec.function),
            annotations=spec.annotations,
            structured_output=False,
        )
        tool = cls(**{name: getattr(bound, name) for name in cls.model_fields})
        tool.parameters = compact_schema(tool.parameters)
        tool.fn_metadata.output_schema = OUTPUT_SCHEMA
        tool._gateway = gateway
        tool._private = first == "trading"
        return tool

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any] | None = None, convert_result: bool = False
    ) -> Any:
        """Validate, call and answer; whatever goes wrong becomes a failure envelope.

        Args:
            arguments: as the client wrote them.
            context: the call's, for a tool that takes it.
            convert_result: the SDK's word; the answer has its final form anyway.
        """
        try:
            with self._gateway.one_deadline():
                envelope = await self._call(arguments, context)
        except Failure as failure:
            envelope = self._gateway.failed(
                failure, _named(arguments, "exchange"), _named(arguments, "account"), private=self._private
            )
        except MCPError:
            raise
        except InputNeeded as asking:
            return asking.result
        except Exception:
            envelope = self._gateway.failed(internal_failure(), _named(arguments, "exchange"))
            log.exception("tool crashed", tool=self.name, request_id=envelope.metadata.request_id)
        return answer(envelope, cap=self._gateway.settings.answer_cap)

    async def _call(self, arguments: dict[str, Any], context: Context[Any, Any] | None) -> Envelope:
        known = self.parameters["properties"]
        if unknown := [name for name in arguments if name not in known]:
            near = get_close_matches(unknown[0], known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Arguments: {', '.join(known) or 'none'}."
            raise Failure(
                Code.INVALID_ARGUMENT, f"{clean_text(unknown[0], 40)} is no argument of {self.name}.", hint=hint
            )
        try:
            validated = self.fn_metadata.validate_arguments(arguments)
        except ValidationError as error:
            raise Failure(Code.INVALID_ARGUMENT, _first_problem(error)) from None
        own = {self.context_kwarg: context} if self.context_kwarg else {}
        return await self.fn_metadata.call_fn(self.fn, self.is_async, validated, own)


def shorten_calls(server: MCPServer[Gateway], tools: Sequence[GatewayTool]) -> None:
    """Leave out of the server's calls what the SDK does for nobody, and what takes longer than a cached answer.

    That is the span of each message, where no program collects spans, and the context of each call, where the tool
    takes none.
    """
    if isinstance(get_tracer_provider(), ProxyTracerProvider):
        server.middleware[:] = [one for one in server.middleware if not isinstance(one, OpenTelemetryMiddleware)]
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # a test pins it
    usual = lowlevel.get_request_handler("tools/call")
    if usual is None:
        raise RuntimeError("The SDK's server does not answer tools/call.")
    short = {tool.name: tool for tool in tools if tool.context_kwarg is None}

    async def call_tool(context: ServerRequestContext[Gateway, Any], params: CallToolRequestParams) -> HandlerResult:
        tool = short.get(params.name)
        return await (tool.run(params.arguments or {}) if tool else usual.handler(context, params))

    lowlevel.add_request_handler("tools/call", CallToolRequestParams, call_tool)


def compact_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema without titles and bounds of length, and with "may be left out" said once."""
    return _compact(schema)


def _compact(node: Any, *, names: bool = False) -> Any:
    if isinstance(node, list):
        return [_compact(item) for item in node]
    if not isinstance(node, dict):
        return node
    if names:  # the keys are arguments' names, so "title" or "default" may be one of them
        return {name: _compact(item) for name, item in node.items()}
    options = [option for option in node.get("anyOf", []) if option != {"type": "null"}]
    if node.get("default") is not None:  # then null says something that leaving it out does not
        options = node.get("anyOf", [])
    if len(options) == 1:
        node = options[0] | {name: item for name, item in node.items() if name != "anyOf"}
    elif options:
        node = node | {"anyOf": options}
    return {
        name: _compact(item, names=name == "properties")
        for name, item in node.items()
        if name not in _UNSAID and not (name == "default" and item is None)
    }


def _named(arguments: dict[str, Any], name: str) -> str | None:
    named = arguments.get(name)
    return named if isinstance(named, str) else None


def _first_problem(error: ValidationError) -> str:
    """Return what is wrong with the first argument that is.

    Only a number that is out of bounds is repeated: anything else may be a secret.
    """
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"][:1]) or "arguments"
    bound = problem["type"].startswith(("greater_than", "less_than"))
    given = problem["input"] if bound and isinstance(problem["input"], int | float) else None
    return f"{place}: {problem['msg'][:200]}{'' if given is None else f', not {given:.12g}'}."
