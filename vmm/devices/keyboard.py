"""The keyboard and its controller: an 8042 behind ports 60h and 64h, a 102-key keyboard on its cable.

Here: the controller's commands (self test, command byte, output port with wire A20 and the reset line,
enabling, the commands that pulse), translation of scan codes from set 2 to set 1, IRQ 1; the keyboard's
commands (reset, identify, scan code set, LEDs, rates, echo, resend); and `type`, which presses keys.

Answers come at once. What is typed comes a byte per millisecond, about what 11 bits take on the cable,
and the next byte only after the last was read, so nothing typed is lost while the keyboard is enabled.
There is no port for a mouse: its test fails and nothing comes back from it.
Power-on leaves the command byte as a BIOS would: interrupts and translation on.

Datasheet: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller".
Not here: what A20 and reset do (system.py, pc.py). Read next: keys.py, the scan codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmm.clock import Clock, Timer
from vmm.devices.irq import InterruptLines
from vmm.devices.keys import F0, TRANSLATION, codes, strokes

KEYBOARD_DATA, KEYBOARD_COMMAND = 0x60, 0x64
IRQ_KEYBOARD = 1

STATUS_OBF, STATUS_SYS, STATUS_A2, STATUS_UNLOCKED = 0x01, 0x04, 0x08, 0x10
COMMAND_INT, COMMAND_SYS, COMMAND_DISABLE, COMMAND_NO_AUX, COMMAND_XLATE = 0x01, 0x04, 0x10, 0x20, 0x40
COMMAND_DEFAULT = COMMAND_INT | COMMAND_NO_AUX | COMMAND_XLATE
OUTPUT_RUN, OUTPUT_A20, OUTPUT_OBF, OUTPUT_ONES = 0x01, 0x02, 0x10, 0xCC  # not RUN: the processor's reset
INPUT_PORT = 0x80  # not locked, colour display

(READ_RAM, WRITE_RAM, AUX_OFF, AUX_ON, AUX_TEST, SELF_TEST, LINE_TEST) = (
    *(0x20, 0x60, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB),
)
DISABLE, ENABLE, READ_INPUT, READ_OUTPUT, WRITE_OUTPUT = 0xAD, 0xAE, 0xC0, 0xD0, 0xD1
ECHO_KEYBOARD, ECHO_AUX, TO_AUX, A20_OFF, A20_ON, PULSE = 0xD2, 0xD3, 0xD4, 0xDD, 0xDF, 0xF0
SELF_TEST_PASSED, LINE_TEST_PASSED, AUX_CLOCK_STUCK = 0x55, 0x00, 0x02

KEY_LEDS, KEY_ECHO, KEY_SCAN_SET, KEY_IDENTIFY, KEY_RATE, KEY_ENABLE = 0xED, 0xEE, 0xF0, 0xF2, 0xF3, 0xF4
KEY_DISABLE, KEY_DEFAULTS, KEY_RESEND, KEY_RESET = 0xF5, 0xF6, 0xFE, 0xFF
KEY_TYPES = range(0xF7, 0xFE)  # of set 3: which keys repeat, break or only make
ACK, RESEND, PASSED = 0xFA, 0xFE, 0xAA
IDENTITY = bytes((0xAB, 0x83))
DEFAULT_SET = 2
TYPING_NS = 1_000_000


class Keyboard:
    """The device at the end of the cable: what it answers, and what its keys send."""

    def __init__(self) -> None:
        self.scan_set = DEFAULT_SET
        self.leds = 0
        self.scanning = True
        self.command = 0  # the one whose argument is to come
        self.last = PASSED  # what "resend" sends again
        self.queue = bytearray()  # answers on their way

    def take(self, value: int) -> None:
        """A byte from the controller."""
        command, self.command = self.command, 0
        if command and value < KEY_LEDS:
            self._argument(command, value)
        else:
            self._command(value)

    def _argument(self, command: int, value: int) -> None:
        if command == KEY_SCAN_SET and value > 3:
            self.queue.append(RESEND)
            return
        self.queue.append(ACK)
        if command == KEY_LEDS:
            self.leds = value & 7
        elif command == KEY_SCAN_SET and value:
            self.scan_set = value
        elif command == KEY_SCAN_SET:
            self.queue.append(self.scan_set)

    def _command(self, value: int) -> None:
        if value == KEY_ECHO:
            self.queue.append(KEY_ECHO)
        elif value == KEY_RESEND:
            self.queue.append(self.last)
        elif value in (KEY_LEDS, KEY_SCAN_SET, KEY_RATE):
            self.command = value
            self.queue.append(ACK)
        elif value == KEY_IDENTIFY:
            self.queue += bytes((ACK,)) + IDENTITY
        elif value in (KEY_ENABLE, KEY_DISABLE):
            self.scanning = value == KEY_ENABLE
            self.queue[:] = bytes((ACK,))
        elif value in (KEY_DEFAULTS, KEY_RESET):
            self.scan_set, self.leds, self.scanning = DEFAULT_SET, 0, True
            self.queue[:] = bytes((ACK, PASSED)) if value == KEY_RESET else bytes((ACK,))
        else:
            self.queue.append(ACK if value in KEY_TYPES else RESEND)


class KeyboardController:
    name = "keyboard"
    ports: tuple[range, ...] = (
        range(KEYBOARD_DATA, KEYBOARD_DATA + 1),
        range(KEYBOARD_COMMAND, KEYBOARD_COMMAND + 1),
    )

    def __init__(
        self,
        clock: Clock,
        lines: InterruptLines,
        on_a20: Callable[[bool], None] | None = None,
        on_reset: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._lines = lines
        self.on_a20 = on_a20  # told of the output port's A20, whenever it is written
        self.on_reset = on_reset
        self.keyboard = Keyboard()
        self.ram = bytearray(32)  # byte 0 is the command byte
        self.ram[0] = COMMAND_DEFAULT
        self.output_port = OUTPUT_RUN | OUTPUT_A20 | OUTPUT_ONES
        self.data = 0  # the output buffer keeps its byte after it was read
        self.loaded = False
        self.pending = 0  # the controller command whose argument is to come
        self.commanded = False  # the last byte went to port 64h
        self.releasing = False  # F0 came: the next code is of a key that goes up
        self.answers = bytearray()  # of the controller, ahead of everything from the keyboard
        self.typed: list[list[Any]] = []  # [key, whether it goes up]
        self.cable = bytearray()  # what is left of the stroke being sent
        self._timer: Timer | None = None

    def type(self, text: str) -> None:
        """Type a text on a US keyboard. ValueError, and nothing is typed, if no key types a character."""
        for key, released in tuple(strokes(text)):
            self.press(key, release=released)

    def press(self, key: str, *, release: bool = False) -> None:
        """Press one key by its name (vmm/devices/keys.py), or release it. KeyError for no such key."""
        codes(key, DEFAULT_SET)
        self.typed.append([key, release])
        self._await_key()

    def read(self, port: int, size: int) -> int:
        if port == KEYBOARD_COMMAND:
            system = STATUS_SYS if self.ram[0] & COMMAND_SYS else 0
            return STATUS_UNLOCKED | system | self.commanded * STATUS_A2 | self.loaded * STATUS_OBF
        value = self.data
        if self.loaded:
            self.loaded = False
            self._settle()
        return value

    def write(self, port: int, value: int, size: int) -> None:
        self.commanded = port == KEYBOARD_COMMAND
        if self.commanded:
            self.pending = 0
            self._command(value)
        elif self.pending:
            pending, self.pending = self.pending, 0
            self._argument(pending, value)
        else:
            self.ram[0] &= ~COMMAND_DISABLE  # a byte for the keyboard opens the cable
            self.keyboard.take(value)
        self._settle()

    def save(self) -> dict[str, Any]:
        keyboard = vars(self.keyboard) | {"queue": list(self.keyboard.queue)}
        return {name: getattr(self, name) for name in _PLAIN} | {
            **{name: list(getattr(self, name)) for name in _BYTES},
            "typed": [list(stroke) for stroke in self.typed],
            "keyboard": keyboard,
            "timer": self._timer.saved if self._timer is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        for name in _PLAIN:
            setattr(self, name, state[name])
        for name in _BYTES:
            setattr(self, name, bytearray(state[name]))
        self.typed = [list(stroke) for stroke in state["typed"]]
        vars(self.keyboard).update(state["keyboard"] | {"queue": bytearray(state["keyboard"]["queue"])})
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.restore(state["timer"], self._key)

    # the controller

    def _command(self, value: int) -> None:
        answers = {
            AUX_TEST: AUX_CLOCK_STUCK,
            SELF_TEST: SELF_TEST_PASSED,
            LINE_TEST: LINE_TEST_PASSED,
            READ_INPUT: INPUT_PORT,
            READ_OUTPUT: self.output_port | self.loaded * OUTPUT_OBF,
        }
        if value & 0xE0 == READ_RAM:
            self.answers.append(self.ram[value & 0x1F])
        elif value in answers:
            self.answers.append(answers[value])
            self.ram[0] |= COMMAND_SYS if value == SELF_TEST else 0
        elif value & 0xE0 == WRITE_RAM or value in (WRITE_OUTPUT, ECHO_KEYBOARD, ECHO_AUX, TO_AUX):
            self.pending = value
        elif value in (DISABLE, ENABLE):
            self.ram[0] = self.ram[0] & ~COMMAND_DISABLE | (COMMAND_DISABLE if value == DISABLE else 0)
        elif value in (AUX_OFF, AUX_ON):
            self.ram[0] = self.ram[0] & ~COMMAND_NO_AUX | (COMMAND_NO_AUX if value == AUX_OFF else 0)
        elif value in (A20_OFF, A20_ON):
            self._write_output(self.output_port & ~OUTPUT_A20 | (OUTPUT_A20 if value == A20_ON else 0))
        elif value & PULSE == PULSE and not value & OUTPUT_RUN:
            self._reset()

    def _argument(self, command: int, value: int) -> None:
        if command == WRITE_OUTPUT:
            self._write_output(value)
        elif command in (ECHO_KEYBOARD, ECHO_AUX):
            self.answers.append(value)
        elif command != TO_AUX:
            self.ram[command & 0x1F] = value

    def _write_output(self, value: int) -> None:
        self.output_port = value & ~OUTPUT_OBF
        if self.on_a20 is not None:
            self.on_a20(bool(value & OUTPUT_A20))
        if not value & OUTPUT_RUN:
            self._reset()

    def _reset(self) -> None:
        if self.on_reset is not None:
            self.on_reset()

    # the output buffer

    def _settle(self) -> None:
        """Fill the output buffer if it is empty and something waits; drive IRQ 1, each byte an edge."""
        if not self.loaded:
            self._lines.set_irq(IRQ_KEYBOARD, False)
            if self.answers:
                self._put(self.answers.pop(0))
            else:
                while self.keyboard.queue and not self.loaded:
                    self._receive(self.keyboard.queue.pop(0))
        self._lines.set_irq(IRQ_KEYBOARD, self.loaded and bool(self.ram[0] & COMMAND_INT))
        self._await_key()

    def _put(self, value: int) -> None:
        self.data, self.loaded = value, True

    def _receive(self, value: int) -> None:
        """A byte came along the cable."""
        self.keyboard.last = value
        if not self.ram[0] & COMMAND_XLATE:
            self._put(value)
        elif value == F0:
            self.releasing = True
        else:
            self._put(TRANSLATION[value] | (0x80 if self.releasing else 0))
            self.releasing = False

    # typing

    @property
    def _open(self) -> bool:
        """Whether a key could be sent now."""
        return not self.loaded and self.keyboard.scanning and not self.ram[0] & COMMAND_DISABLE

    def _await_key(self) -> None:
        """What was typed sets out if nothing is in its way."""
        if (self.typed or self.cable) and self._open and (self._timer is None or not self._timer.live):
            self._timer = self._clock.after_ns(TYPING_NS, self._key)

    def _key(self) -> None:
        """A byte of a stroke arrives; a prefix that the controller keeps to itself brings the next along."""
        self._timer = None
        if self._open and not self.cable and self.typed:
            key, release = self.typed.pop(0)
            self.cable += codes(key, self.keyboard.scan_set, release=release)
        while self.cable and self._open:
            self._receive(self.cable.pop(0))
        self._settle()


_PLAIN = ("output_port", "data", "loaded", "pending", "commanded", "releasing")
_BYTES = ("ram", "answers", "cable")
