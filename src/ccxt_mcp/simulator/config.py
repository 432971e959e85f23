"""How to point ccxt's bybit classes at a simulator."""

from __future__ import annotations

from typing import Any


def ccxt_config(url: str) -> dict[str, Any]:
    """What to merge into the configuration of ccxt's bybit (REST or pro) to use the simulator at `url`, 'http://HOST:PORT'."""
    stream = f"{url.replace('http', 'ws', 1)}/v5"
    private = f"{stream}/private"
    return {
        "urls": {
            "api": {
                **dict.fromkeys(("spot", "futures", "v2", "public", "private"), url),
                "ws": {
                    "public": {
                        category: f"{stream}/public/{category}" for category in ("spot", "linear", "inverse", "option")
                    },
                    "private": {
                        "spot": {"unified": private, "nonUnified": private},
                        "contract": private,
                        "usdc": private,
                        "trade": f"{stream}/trade",
                    },
                },
            }
        },
        "options": {"fetchMarkets": {"types": ["spot", "linear"]}},
    }
