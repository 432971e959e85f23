"""The lazy import of ccxt gives what a plain import gives, and nothing else is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ccxt_mcp.errors import Code, Failure
from ccxt_mcp.exchanges.lazy import ccxt_version, exchange_class, exchange_ids, unknown_exchange

if TYPE_CHECKING:
    from pathlib import Path


def run(script: str, *arguments: str) -> Any:
    """Run a script in a fresh interpreter and return what it printed as JSON."""
    command = [sys.executable, "-c", script, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


PORTRAIT = """
import hashlib, json, sys
if sys.argv[1] == "lazy":
    from ccxt_mcp.exchanges.lazy import exchange_class, exchange_ids, install
    assert install()
    for name in exchange_ids():
        exchange_class(name)
import ccxt, ccxt.async_support, ccxt.pro
from ccxt.base import errors

def portrait(cls):
    described = json.dumps(cls().describe(), default=lambda thing: getattr(thing, "__name__", repr(thing)))
    return [cls.__name__, cls.__module__, [f"{c.__module__}.{c.__qualname__}" for c in cls.__mro__],
            hashlib.sha256(described.encode()).hexdigest()]

print(json.dumps({
    "async": {name: portrait(getattr(ccxt.async_support, name)) for name in ccxt.async_support.exchanges},
    "pro": {name: portrait(getattr(ccxt.pro, name)) for name in ccxt.pro.exchanges},
    "sync": {name: getattr(ccxt, name).__mro__[1].__name__ for name in ccxt.exchanges},
    "one class each": all(
        getattr(package, name) is sys.modules[f"{package.__name__}.{name}"].__dict__[name]
        for package in (ccxt, ccxt.async_support, ccxt.pro) for name in package.exchanges),
    "errors": [name for name in errors.__all__ if name != "error_hierarchy" and
               {id(getattr(package, name)) for package in (ccxt, ccxt.async_support, ccxt.pro)}
               == {id(getattr(errors, name))}],
    "names": {package.__name__: sorted(name for name in dir(package) if not name.startswith("__"))
              for package in (ccxt, ccxt.async_support, ccxt.pro)},
    "all": {package.__name__: sorted(getattr(package, "__all__", [])) for package in (ccxt, ccxt.async_support)},
    "versions": [ccxt.__version__, ccxt.async_support.__version__, ccxt.pro.__version__],
}))
"""


@pytest.fixture(scope="module")
def portraits() -> tuple[dict[str, Any], dict[str, Any]]:
    return run(PORTRAIT, "lazy"), run(PORTRAIT, "eager")


@pytest.mark.parametrize("aspect", ["async", "pro", "sync", "one class each", "errors", "names", "all", "versions"])
def test_lazy_and_plain_import_give_the_same(portraits: tuple[dict[str, Any], dict[str, Any]], aspect: str) -> None:
    lazy, eager = portraits
    assert eager[aspect]
    assert lazy[aspect] == eager[aspect]


def test_all_ids_are_known_and_match_ccxts_own_list(portraits: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert set(exchange_ids()) == set(portraits[1]["async"])
    assert len(exchange_ids()) > 100


def test_importing_the_module_and_asking_for_ids_imports_no_ccxt() -> None:
    script = """
import json, sys
import ccxt_mcp.exchanges.lazy as lazy, ccxt_mcp.exchanges.translate, ccxt_mcp.text
ids = lazy.exchange_ids()
lazy.ccxt_version(), lazy.unknown_exchange("krakn", ids), lazy.install()
heavy = {"ccxt", "aiohttp"}
print(json.dumps([len(ids) > 100, sorted(name for name in sys.modules if name.partition(".")[0] in heavy)]))
"""
    assert run(script) == [True, []]


def test_one_exchange_imports_its_own_modules_and_no_other_exchange() -> None:
    script = """
import json, sys
from ccxt_mcp.exchanges.lazy import exchange_class, exchange_ids
exchange_class("binanceusdm", "pro")
print(json.dumps([name for name in exchange_ids()
                  if any(f"ccxt.{room}{name}" in sys.modules for room in ("", "async_support.", "pro."))]))
"""
    assert run(script) == ["binance", "binanceusdm"]


def test_many_threads_may_ask_at_once() -> None:
    script = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
from ccxt_mcp.exchanges.lazy import exchange_class
names = ["binance", "binanceus", "binanceusdm", "okx", "myokx", "okxus", "kraken", "gate"] * 4
start = threading.Barrier(16)
def ask(job):
    number, name = job
    if number < 16:
        start.wait()
    return exchange_class(name, "pro" if number % 2 else "async_support")
sys.setswitchinterval(1e-5)
with ThreadPoolExecutor(16) as threads:
    classes = list(threads.map(ask, enumerate(names)))
wanted = [sys.modules[f"ccxt.{'pro' if number % 2 else 'async_support'}.{name}"].__dict__[name]
          for number, name in enumerate(names)]
print(json.dumps([cls.__name__ for cls in classes] == names and all(map(lambda a, b: a is b, classes, wanted))))
"""
    assert run(script) is True


def test_ccxt_that_was_imported_before_stays_plain_and_works() -> None:
    script = """
import json
import ccxt.async_support as plain
from ccxt_mcp.exchanges.lazy import exchange_class, install
print(json.dumps([install(), exchange_class("kraken") is plain.kraken, type(plain).__name__]))
"""
    assert run(script) == [False, True, "module"]


def test_installing_twice_is_installing_once() -> None:
    script = """
import json, sys
from ccxt_mcp.exchanges.lazy import install
before = len(sys.meta_path)
print(json.dumps([install(), install(), len(sys.meta_path) - before]))
"""
    assert run(script) == [True, True, 1]


OTHER_LAYOUT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ccxt_mcp.exchanges.lazy import exchange_class, exchange_ids
ids = exchange_ids()
print(json.dumps([list(ids), [exchange_class(name).__name__ for name in ids], sorted(
    name for name in sys.modules if name.startswith("ccxt.async_support."))]))
"""

NAMES = ["ace", "bex", "cex", "dex", "eex", "fex"]
PLAIN = "".join(f"from ccxt.async_support.{name} import {name}\n" for name in NAMES)


def lay_out(root: Path, *, top: str, package: str) -> str:
    """Write a small ccxt whose `__init__.py` files are the given ones."""
    rooms = root / "ccxt" / "async_support"
    rooms.mkdir(parents=True)
    (root / "ccxt" / "__init__.py").write_text(top)
    (rooms / "__init__.py").write_text(package)
    for name in NAMES:
        (rooms / f"{name}.py").write_text(f"class {name}:\n    pass\n")
    return str(root)


def test_the_known_layout_is_lazy_even_in_a_stand_in_for_ccxt(tmp_path: Path) -> None:
    root = lay_out(tmp_path, top=f"exchanges = {NAMES}\n", package=PLAIN)
    script = OTHER_LAYOUT.replace("for name in ids]", "for name in ids[:2]]")
    assert run(script, root) == [NAMES, ["ace", "bex"], ["ccxt.async_support.ace", "ccxt.async_support.bex"]]


@pytest.mark.parametrize(
    ("top", "package"),
    [
        (f"exchanges = list({NAMES})\n", PLAIN),  # the list is no literal any more
        (f"exchanges = {NAMES}\n", PLAIN + "ALL = [ace, bex, cex, dex, eex, fex]\n"),  # classes used while importing
        (
            f"exchanges = {NAMES}\n",
            f"from ccxt.async_support import {', '.join(NAMES)}\n"
            + "".join(f"{name} = {name}.{name}\n" for name in NAMES),
        ),  # another kind of import
        (f"exchanges = {NAMES[:3]}\n", "".join(PLAIN.splitlines(keepends=True)[:3])),  # too few to be sure
    ],
    ids=["ids computed", "classes used at once", "modules instead of classes", "few lines"],
)
def test_another_layout_is_imported_as_it_is(tmp_path: Path, top: str, package: str) -> None:
    ids, classes, _ = run(OTHER_LAYOUT, lay_out(tmp_path, top=top, package=package))
    assert ids == classes
    assert ids in (NAMES, NAMES[:3])


def test_a_ccxt_without_source_is_imported_as_it_is(tmp_path: Path) -> None:
    root = lay_out(tmp_path, top=f"exchanges = {NAMES}\n", package=PLAIN)
    script = """
import compileall, json, pathlib, sys
root = pathlib.Path(sys.argv[1])
assert compileall.compile_dir(root, quiet=1, legacy=True)
for source in root.rglob("*.py"):
    source.unlink()
""" + OTHER_LAYOUT.replace("import json, sys\n", "")
    assert run(script, root)[:2] == [NAMES, NAMES]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("krakn", "kraken"),
        ("Gate.io", "gate"),
        ("crypto.com", "cryptocom"),
        ("COINBASE_PRO", "coinbase"),
        ("huobi", "htx"),
    ],
)
def test_a_misspelt_exchange_names_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(Failure) as raised:
        exchange_class(written)
    failure = raised.value
    assert failure.code is Code.UNKNOWN_EXCHANGE
    assert failure.details is not None
    assert failure.details["nearest"][0] == meant
    assert f"Did you mean {meant}" in failure.hint
    assert written in failure.message


def test_an_exchange_like_no_other_points_to_the_list() -> None:
    failure = unknown_exchange("???\u202e" + "x" * 500, exchange_ids())
    assert failure.details == {"nearest": []}
    assert failure.hint == Code.UNKNOWN_EXCHANGE.value.advice
    assert len(failure.message) < 100
    assert "\u202e" not in failure.message


def test_an_exchange_without_live_streams_says_so() -> None:
    script = """
import json
from ccxt_mcp.errors import Failure
from ccxt_mcp.exchanges.lazy import exchange_class
try:
    exchange_class("bitbank", "pro")
except Failure as failure:
    print(json.dumps([failure.code.name, failure.message]))
"""
    name, message = run(script)
    assert name == "METHOD_NOT_SUPPORTED"
    assert "bitbank has no live streams" in message


def test_the_version_is_known_without_importing_ccxt(portraits: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert {ccxt_version()} == set(portraits[1]["versions"])
