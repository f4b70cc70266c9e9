"""The keys of a PC keyboard: their scan codes, and which of them type a character.

Here: `SET_1`, the codes that an XT keyboard sends and the PC's controller translates to; `TRANSLATION`,
that controller's table from set 2 to set 1; `codes`, what a key sends in each of the three sets; and
`strokes`, the presses and releases that type a text on a US layout.
Facts: IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)". Next: keyboard.py.
"""

from __future__ import annotations

from collections.abc import Iterator


def _table(*lines: str) -> dict[str, int]:
    """Keys and their codes, by turns."""
    words = " ".join(lines).split()
    return {key: int(code, 16) for key, code in zip(words[::2], words[1::2], strict=True)}


_ROWS = {  # set 1: the first code of a run of keys, and the keys
    0x01: "esc 1 2 3 4 5 6 7 8 9 0 - = backspace tab q w e r t y u i o p [ ] enter ctrl a s d f g h j k l",
    0x27: "; ' ` shift \\ z x c v b n m , . / rshift kp* alt space capslock",
    0x3B: "f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 numlock scrolllock",
    0x47: "kp7 kp8 kp9 kp- kp4 kp5 kp6 kp+ kp1 kp2 kp3 kp0 kp.",
    0x57: "f11 f12",
}
SET_1 = {key: first + n for first, row in _ROWS.items() for n, key in enumerate(row.split())}
EXTENDED = _table(  # with the prefix E0
    "home 47 up 48 pageup 49 left 4b right 4d end 4f down 50 pagedown 51 insert 52 delete 53",
    "rctrl 1d ralt 38 kp/ 35 kpenter 1c",
)
E0, F0 = 0xE0, 0xF0
BREAK_1 = 0x80  # set 1: a key is released

# what the controller makes of a byte of set 2; from 80h on bytes stay, but for 83h and 84h
TRANSLATION = bytes.fromhex(
    "ff43413f3d3b3c58644442403e0f295965382a701d10025a66712c1f1e11035b"
    "672e2d201205045c68392f211413065d693130232215075e6a7232241608095f"
    "6b332517180b0a606c34352627190c616d7328741a0d626e3a361c1b752b6376"
    "55567778797a0e7b7c4f7d4b477e7f6f5253504c4d480145574e514a37494654"
) + bytes({0x83: 0x41, 0x84: 0x54}.get(n, n) for n in range(0x80, 0x100))
_SET_2 = {TRANSLATION[code]: code for code in range(0x7F, 0, -1)} | {0x41: 0x83, 0x54: 0x84}

_SET_3_OTHERWISE = _table(  # where a key's code in set 3 is not that of set 2
    "esc 08 capslock 14 ctrl 11 alt 19 rctrl 58 ralt 39 \\ 5c up 63 left 61 down 60 right 6a insert 67",
    "home 6e pageup 6f delete 64 end 65 pagedown 6d kp/ 77 kpenter 79 numlock 76 scrolllock 5f",
    "kp* 7e kp- 84 kp+ 7c f1 07 f2 0f f3 17 f4 1f f5 27 f6 2f f7 37 f8 3f f9 47 f10 4f f11 56 f12 5e",
)

_SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))
_NAMED = {
    " ": "space",
    "\n": "enter",
    "\r": "enter",
    "\t": "tab",
    "\b": "backspace",
    "\x1b": "esc",
    "\x7f": "backspace",
}


def codes(key: str, scan_set: int, *, release: bool = False) -> bytes:
    """The bytes that a key sends when it is pressed, or released. KeyError if there is no such key."""
    extended = key in EXTENDED
    code = EXTENDED[key] if extended else SET_1[key]
    prefix = bytes((E0,)) if extended and scan_set != 3 else b""
    if scan_set == 1:
        return prefix + bytes((code | BREAK_1 if release else code,))
    code = _SET_3_OTHERWISE.get(key, _SET_2[code]) if scan_set == 3 else _SET_2[code]
    return prefix + (bytes((F0, code)) if release else bytes((code,)))


def key_of(character: str) -> tuple[str, str] | None:
    """The key that types a character and the key to hold meanwhile (or ""); None if there is none."""
    if character in _NAMED:
        return _NAMED[character], ""
    if character in _SHIFTED:
        return _SHIFTED[character], "shift"
    if "A" <= character <= "Z":
        return character.lower(), "shift"
    if "\x01" <= character <= "\x1a":
        return chr(ord(character) + 0x60), "ctrl"
    return (character, "") if character in SET_1 else None


def strokes(text: str) -> Iterator[tuple[str, bool]]:
    """(key, released) for everything that happens on the keyboard. ValueError for what no key types."""
    for character in text:
        found = key_of(character)
        if found is None:
            raise ValueError(f"no key types {character!r}")
        key, held = found
        if held:
            yield held, False
        yield key, False
        yield key, True
        if held:
            yield held, True
