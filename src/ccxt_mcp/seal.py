"""A seal: what must stay in memory but be readable only for a moment is kept encrypted until then."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12  # bytes, as AES-GCM wants them


class Seal:
    """Seals text with a key of its own that is made on first use, written nowhere, and gone with the process.

    It keeps secrets out of dumps, pickles, reprs and swapped pages of ordinary objects. Who can read this process's
    memory at will and looks for the key finds it.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> str:
        raise TypeError("a seal is of its process and cannot be copied or saved")

    @cached_property
    def _cipher(self) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - for who has secrets

        return AESGCM(AESGCM.generate_key(256))

    def close(self, text: str) -> bytes:
        """Return the text, sealed."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), None)

    def open(self, sealed: bytes) -> str:
        """Return the text that was sealed here; takes a microsecond."""
        return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], None).decode("utf-8", "surrogatepass")
