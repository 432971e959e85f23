from __future__ import annotations

import pytest

from protocol.node import NodeTools, node_tools


@pytest.fixture(scope="session")
def tools() -> NodeTools:
    """The conformance suite and the Inspector, installed on first use."""
    return node_tools()
