"""Import one exchange of ccxt without the other hundred.

`ccxt/__init__.py` and those of its sub-packages import every exchange module: half a second and 50 MB that nobody asked
for. A finder, put in front of Python's own for those packages only, runs the same `__init__.py` without these lines and
resolves each class when it is first asked for. Classes, errors and module names are those of a plain import. Where
ccxt's layout is not the known one, its packages are imported as they are.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import sys
import threading
from difflib import get_close_matches
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import version
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

Flavour = Literal["async_support", "pro"]

_PACKAGES = frozenset({"ccxt", "ccxt.async_support", "ccxt.pro"})
_FEWEST = 5  # fewer import lines of the known form mean that the layout is another one
_SIMILAR = 0.7
_RENAMED = {"huobi": "htx"}  # the one former name that resembles another exchange more than its own
_lock = threading.RLock()  # ccxt's packages import each other, so two threads that begin at both ends would deadlock


class _LazyPackage(ModuleType):
    """A package whose exchange classes are imported when they are first asked for (PEP 562)."""

    def __getattr__(self, name: str) -> Any:
        if name not in self._deferred():
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        found = getattr(importlib.import_module(f"{self.__name__}.{name}"), name)
        self.__dict__[name] = found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds each sub-module to its package, and ccxt then rebinds that name to the class inside.
        # Exchanges rely on it: `class binance(ccxt.async_support.binance)`.
        if name in self._deferred() and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._deferred()})

    def _deferred(self) -> frozenset[str]:
        return self.__dict__.get("__deferred__", frozenset())


class _LazyLoader(SourceFileLoader):
    """Runs a package's own source, without the lines that import its exchanges."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LazyPackage(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        source = self.get_data(self.path)
        code, deferred = _without_exchanges(source, module.__name__, self.path)
        module.__dict__["__deferred__"] = deferred
        try:
            exec(code, module.__dict__)  # noqa: S102 - this is what importing a module means
        except NameError:  # the source uses an exchange while it runs
            module.__dict__["__deferred__"] = frozenset[str]()
            exec(self.source_to_code(source, self.path), module.__dict__)  # noqa: S102


class _LazyFinder(importlib.abc.MetaPathFinder):
    """Finds ccxt's packages as Python does, and gives them the lazy loader when they are plain source."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _LazyLoader(spec.loader.name, spec.loader.path)
        return spec


def install() -> bool:
    """Make later imports of ccxt lazy; return whether they are.

    False means that somebody imported ccxt before: it then stays the plain one, which works as well.
    """
    with _lock:
        if any(isinstance(finder, _LazyFinder) for finder in sys.meta_path):
            return True
        if "ccxt" in sys.modules:
            return False
        sys.meta_path.insert(0, _LazyFinder())
        return True


@cache
def exchange_ids() -> tuple[str, ...]:
    """Return the ids of all exchanges, read from ccxt's source without running any of it."""
    spec = PathFinder.find_spec("ccxt")
    ids = _exchanges_literal(Path(spec.origin)) if spec is not None and spec.origin is not None else ()
    if ids:
        return ids
    with _lock:
        install()
        return tuple(importlib.import_module("ccxt").exchanges)


def exchange_class(exchange: str, flavour: Flavour = "async_support") -> type[Any]:
    """Return ccxt's class of one exchange; the first use of an exchange imports its module, and no other's.

    Args:
        exchange: ccxt's id, as in `exchange_ids()`.
        flavour: "async_support" for requests, "pro" for requests and live streams.

    Raises:
        Failure: UNKNOWN_EXCHANGE with the nearest ids in `details["nearest"]`; METHOD_NOT_SUPPORTED for an exchange
            without live streams when these are wanted.
    """
    if exchange not in exchange_ids():
        raise unknown_exchange(exchange, exchange_ids())
    with _lock:
        install()
        found = getattr(importlib.import_module(f"ccxt.{flavour}"), exchange, None)
    if isinstance(found, type):
        return found
    raise Failure(Code.METHOD_NOT_SUPPORTED, f"{exchange} has no live streams in ccxt {ccxt_version()}.")


def unknown_exchange(exchange: str, known: Sequence[str]) -> Failure:
    """Return the failure for a name that is none of `known`, with the nearest of these."""
    plain = "".join(char for char in exchange.lower() if char.isalnum())  # Gate.io, crypto.com, COINBASE_PRO
    nearest = get_close_matches(_RENAMED.get(plain, plain), known, 3, _SIMILAR)
    return Failure(
        Code.UNKNOWN_EXCHANGE,
        f"exchange is {clean_text(exchange, 40)!r}, which is unknown here.",
        hint=f"Did you mean {' or '.join(nearest)}?" if nearest else None,
        details={"nearest": nearest},
    )


def ccxt_version() -> str:
    """Return the version of the installed ccxt without importing it."""
    return version("ccxt")


def _without_exchanges(source: bytes, package: str, path: str) -> tuple[CodeType, frozenset[str]]:
    """Return the code of a package without `from <package>.<id> import <id>`, and those ids."""
    tree = ast.parse(source, path)
    deferred = {name for node in tree.body if (name := _exchange_imported(node, package))}
    if len(deferred) < _FEWEST:
        deferred.clear()
    tree.body = [node for node in tree.body if _exchange_imported(node, package) not in deferred]
    return compile(tree, path, "exec", dont_inherit=True), frozenset(deferred)


def _exchange_imported(node: ast.stmt, package: str) -> str | None:
    match node:
        case ast.ImportFrom(module=str(module), names=[ast.alias(name=name, asname=None)], level=0):
            return name if module == f"{package}.{name}" else None
        case _:
            return None


def _exchanges_literal(path: Path) -> tuple[str, ...]:
    """Return the value of `exchanges = ["…", …]`, or nothing where it is no such literal."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return ()
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="exchanges")], value=ast.List(elts=elements)):
                return tuple(e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str))
            case _:
                continue
    return ()
