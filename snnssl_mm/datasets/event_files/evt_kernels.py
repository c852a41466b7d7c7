"""Decoders of the words of EVT 2.0 and EVT 3.0, compiled by numba.

Both formats are streams of words that change a state (time, row, ...) or add events
with it, so that a word means nothing without those before it. Words of other types
(triggers, monitoring) are passed over.
Source: https://docs.prophesee.ai/stable/data/encoding_formats/
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def decode_evt2(words, x, y, t, p):  # type: ignore[no-untyped-def]
    """Decode 32-bit words: the type in the highest 4 bits.

    * 0, 1: an event of polarity 0 or 1: 6 low bits of the time, x and y of 11 bits;
    * 8: the 28 high bits of the time.

    Args:
        words: uint32 ``[m]``.
        x: Output like the following three; as long as there are words of events.
        y: Rows of the events.
        t: Times in microseconds.
        p: Polarities.

    Returns:
        tuple: Number of events, and of events before the first word of time, which are
        left out.
    """
    high, number, untimed = np.int64(-1), 0, 0
    for index in range(words.size):
        word = np.int64(words[index])
        kind = word >> 28
        if kind <= 1:
            if high < 0:
                untimed += 1
                continue
            x[number] = (word >> 11) & 0x7FF
            y[number] = word & 0x7FF
            t[number] = (high << 6) | ((word >> 22) & 0x3F)
            p[number] = kind
            number += 1
        elif kind == 8:
            high = continued(high, word & 0xFFFFFFF, 28)
    return number, untimed


@njit(cache=True)
def continued(before, now, bits):  # type: ignore[no-untyped-def]
    """Continue a clock of some bits that started again from zero.

    Args:
        before: Its last time with all overflows, negative for none.
        now: Its new value.
        bits: Its size. A step back of at least half of its range is an overflow.
    """
    if before < 0:
        return now
    loops = before >> bits
    if (before & ((1 << bits) - 1)) - now >= 1 << (bits - 1):
        loops += 1
    return (loops << bits) | now


@njit(cache=True)
def count_evt3(words):  # type: ignore[no-untyped-def]
    """Count the events in words of EVT 3.0, also those that cannot be decoded."""
    number = 0
    for index in range(words.size):
        kind = words[index] >> 12
        if kind == 2:
            number += 1
        elif kind == 4 or kind == 5:
            valid = words[index] & (0xFFF if kind == 4 else 0xFF)
            while valid:
                valid &= valid - 1
                number += 1
    return number


@njit(cache=True)
def decode_evt3(words, x, y, t, p):  # type: ignore[no-untyped-def]
    """Decode 16-bit words: the type in the highest 4 bits.

    * 0: the row y (11 bits) of the following events;
    * 2: an event: polarity, x (11 bits);
    * 3: polarity and first x of the following vectors;
    * 4, 5: a vector: which of the next 12 or 8 pixels have an event;
    * 6, 8: the low and the high 12 bits of the time. A new high half starts with a low
      half of 0, as in Prophesee's own decoder (OpenEB).

    Args:
        words: uint16 ``[m]``.
        x: Output like the following three, as long as :func:`count_evt3` says.
        y: Rows of the events.
        t: Times in microseconds.
        p: Polarities.

    Returns:
        tuple: Number of events, and of events before the first time, row or base of a
        vector, which are left out.
    """
    high = row = base = np.int64(-1)
    low = polarity = np.int64(0)
    number, untimed = 0, 0
    for index in range(words.size):
        word = np.int64(words[index])
        kind, value = word >> 12, word & 0xFFF
        if kind == 2:
            if high < 0 or row < 0:
                untimed += 1
                continue
            x[number], y[number] = value & 0x7FF, row
            t[number], p[number] = (high << 12) | low, value >> 11
            number += 1
        elif kind == 4 or kind == 5:
            length = 12 if kind == 4 else 8
            known = high >= 0 and row >= 0 and base >= 0
            for offset in range(length):
                if (value >> offset) & 1:
                    if not known:
                        untimed += 1
                        continue
                    x[number], y[number] = min(base + offset, 65535), row
                    t[number], p[number] = (high << 12) | low, polarity
                    number += 1
            if base >= 0:
                base += length
        elif kind == 0:
            row = value & 0x7FF
        elif kind == 3:
            base, polarity = value & 0x7FF, value >> 11
        elif kind == 6:
            low = value
        elif kind == 8:
            before = high
            high = continued(high, value, 12)
            if high != before:
                low = np.int64(0)
    return number, untimed
