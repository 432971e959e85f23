"""The arguments that tools share, each described once and named alike everywhere."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

_NUMBER = WithJsonSchema({"type": "number"})  # texts are taken too, for more digits than a float holds

ExchangeId = Annotated[
    str,
    Field(
        description="Exchange id, or simulator.",
        min_length=1,
        max_length=64,
        json_schema_extra={"x-mcp-header": "Exchange"},
    ),
]
ExchangeOrAll = Annotated[
    str,
    Field(description="Only this exchange.", max_length=64, json_schema_extra={"x-mcp-header": "Exchange"}),
]
Exchanges = Annotated[list[str] | None, Field(description="Exchange ids; default: those opened.", max_length=40)]
Symbol = Annotated[str, Field(description="BTC/USDT spot, BTC/USDT:USDT perpetual.", max_length=100)]
Symbols = Annotated[list[str] | None, Field(description="Symbols; default: all.", max_length=200)]
Account = Annotated[str | None, Field(description="Account to read as.", max_length=64)]
OwnAccount = Annotated[str | None, Field(description="Account; default: paper.", max_length=64)]
AccountOrAll = Annotated[str | None, Field(description="Only this account.", max_length=64)]
SymbolOrNone = Annotated[str | None, Field(description="Only this market.", max_length=100)]
Amount = Annotated[Decimal, Field(description="How much, in unit.", gt=0), _NUMBER]
Price = Annotated[Decimal | None, Field(description="Limit price."), _NUMBER]
Cursor = Annotated[str | None, Field(description="`next` of the page before.", max_length=64)]
Fields = Annotated[list[str] | None, Field(description="Columns to return.", max_length=40)]
Limit = Annotated[int, Field(description="Rows at most.", ge=1, le=1000)]
Levels = Annotated[int, Field(description="Levels a side.", ge=1, le=100)]
Query = Annotated[str | None, Field(description="Words to look for.", max_length=100)]
Timeframe = Annotated[str, Field(description="1m, 5m, 1h, 1d, ...", max_length=8)]
Moment = Annotated[str | int | None, Field(description='ms, ISO 8601 or "2h ago".', union_mode="left_to_right")]
MarketType = Annotated[
    Literal["spot", "margin", "swap", "future", "option"] | None, Field(description="Only this type of market.")
]
