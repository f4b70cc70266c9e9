"""The devices together: console, verdict, firmware, snapshots, and a guest that writes anything anywhere."""

import ast
import json
import random
from pathlib import Path

import pytest

import vmm.devices
from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock
from vmm.devices import DebugConsole, DebugExit, Disk, PcDevices

COM1, DEBUG_CONSOLE, DEBUG_EXIT = 0x3F8, 0xE9, 0xF4


def test_the_console_holds_both_outputs_in_order():
    seen = bytearray()
    pc = PcDevices(Clock(), on_console=seen.append)
    for port, byte in ((COM1, b"a"), (DEBUG_CONSOLE, b"b"), (COM1, b"c")):
        pc.bus.write(port, byte[0], 1)
    assert pc.console == seen == b"abc"


def test_the_debug_console_answers_with_its_own_number():
    pc = PcDevices(Clock())
    assert pc.bus.read(DEBUG_CONSOLE, 1) == 0xE9
    assert pc.bus.read(DEBUG_CONSOLE, 2) == 0xFFE9


def test_a_word_to_the_debug_console_writes_its_low_byte():
    pc = PcDevices(Clock())
    pc.bus.write(DEBUG_CONSOLE, 0x4241, 2)
    assert pc.console == b"A"


@pytest.mark.parametrize(("value", "size"), [(0, 1), (7, 1), (0x1234, 2), (0x12345678, 4)])
def test_the_verdict_is_the_whole_value_written(value, size):
    verdicts = []
    pc = PcDevices(Clock(), on_exit=verdicts.append)
    assert pc.exit_code is None
    pc.bus.write(DEBUG_EXIT, value, size)
    assert pc.exit_code == value
    assert verdicts == [value]
    assert pc.bus.read(DEBUG_EXIT, 1) == 0


def test_the_first_verdict_counts():
    pc = PcDevices(Clock())
    pc.bus.write(DEBUG_EXIT, 3, 1)
    pc.bus.write(DEBUG_EXIT, 0, 1)
    assert pc.exit_code == 3


def test_a_firmware_s_log_is_apart_from_the_console():
    pc = PcDevices(Clock())
    pc.bus.write(0x402, 0x53, 1)
    assert (bytes(pc.firmware_log), bytes(pc.console)) == (b"S", b"")
    assert pc.bus.read(0x402, 1) == 0xE9


def test_text_typed_reaches_the_guest_and_the_screen_shows_what_it_writes():
    pc = PcDevices(Clock())
    pc.type("k")
    pc.clock.advance(INSTRUCTIONS_PER_SECOND)
    assert pc.bus.read(0x60, 1) == 0x25
    pc.mmio.write(0xB8000, 0x0748, 2)
    assert pc.screen()[0][0] == "H"


def test_the_cmos_knows_the_size_of_memory_and_the_epoch():
    pc = PcDevices(Clock(), memory=64 << 20, epoch=0)
    for index, expected in ((0x35, 3), (0x34, 0), (0x32, 0x19), (0x09, 0x70)):
        pc.bus.write(0x70, index, 1)
        assert pc.bus.read(0x71, 1) == expected


def test_the_debug_devices_have_nothing_to_save():
    for device in (DebugConsole(lambda value: None), DebugExit(lambda value: None)):
        assert device.save() == {}
        device.load({})


def test_the_timer_reaches_the_cpu_after_the_firmware_at_vector_8():
    pc = PcDevices(Clock())
    pc.firmware()
    ticks = 0
    while (deadline := pc.clock.deadline()) <= 60 * INSTRUCTIONS_PER_SECOND:
        pc.clock.advance(deadline)
        if pc.pic.intr:
            assert pc.pic.acknowledge() == 0x08
            pc.bus.write(0x20, 0x20, 1)
            ticks += 1
    assert ticks == 60 * 1_193_182 // 65536 + 1, "18.2 times a second, and once when OUT first rises"


def test_power_on_is_silent():
    pc = PcDevices(Clock())
    pc.clock.advance(INSTRUCTIONS_PER_SECOND)
    assert not pc.pic.intr
    assert pc.clock.deadline() is None


def test_every_device_owns_its_ports_and_no_others():
    pc = PcDevices(Clock())
    owned = {port: pc.bus.owner(port).name for port in range(0x10000) if pc.bus.owner(port) is not None}
    spans = {
        "pic": (range(0x20, 0x22), range(0xA0, 0xA2), range(0x4D0, 0x4D2)),
        "pit": (range(0x40, 0x44), range(0x61, 0x62)),
        "uart": (range(0x3F8, 0x400),),
        "cmos": (range(0x70, 0x72),),
        "keyboard": (range(0x60, 0x61), range(0x64, 0x65)),
        "system": (range(0x80, 0x81), range(0x92, 0x93), range(0xCF9, 0xCFA)),
        "vga": (range(0x3C0, 0x3D0), range(0x3D4, 0x3D6), range(0x3DA, 0x3DB)),
        "apm": (range(0xB2, 0xB4),),
        "pci": (range(0xCF8, 0xCF9), range(0xCFC, 0xD00)),
        "fw_cfg": (range(0x510, 0x512),),
        "coprocessor": (range(0xF0, 0xF1),),
        "debug-console": (range(0xE9, 0xEA),),
        "firmware-log": (range(0x402, 0x403),),
        "debug-exit": (range(0xF4, 0xF5),),
    }
    assert owned == {port: name for name, ranges in spans.items() for span in ranges for port in span}


def test_a_snapshot_is_plain_json_and_brings_back_console_verdict_and_time():
    pc = PcDevices(Clock())
    pc.firmware()
    pc.clock.advance(1234)
    pc.bus.write(COM1, 0xE9, 1)
    pc.bus.write(DEBUG_EXIT, 5, 1)
    state = json.loads(json.dumps(pc.save()))
    copy = PcDevices(Clock())
    copy.load(state)
    assert (bytes(copy.console), copy.exit_code, copy.clock.now) == (b"\xe9", 5, 1234)
    assert copy.save() == state


def test_a_snapshot_does_not_change_with_the_machine_that_made_or_loaded_it():
    pc = PcDevices(Clock())
    pc.firmware()
    state = pc.save()
    before = json.dumps(state)
    copy = PcDevices(Clock())
    copy.load(state)
    for each in (pc, copy):
        scribble(each, random.Random(1), 2000)
    assert json.dumps(state) == before


def test_loading_goes_back_in_time_and_the_run_repeats():
    pc = PcDevices(Clock())
    pc.firmware()
    scribble(pc, random.Random(1), 5000)
    state = pc.save()
    first = scribble(pc, random.Random(2), 5000)
    end = pc.save()
    pc.load(state)
    assert scribble(pc, random.Random(2), 5000) == first
    assert pc.save() == end
    assert len(pc.clock._queue) < 200


PORTS = (
    *(0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1),
    *(0x40, 0x41, 0x42, 0x43, 0x61),
    *(0xE9, 0xF4),
    *range(0x3F8, 0x400),
    *(0x60, 0x64, 0x70, 0x71, 0x80, 0x92, 0x402, *range(0x3C0, 0x3DB), 0xCF9),
    *(0x1F, 0x3F, 0x63, 0x9F, 0xE8, 0xF3, 0x3F5, 0x4CF, 0xFFFF),  # a wide access runs into a device, or wraps
)


def scribble(pc, rng, operations):
    """A guest that knows no manual: random reads, writes, input and interrupts as time goes on."""
    log = []
    for _ in range(operations):
        port, size = rng.choice(PORTS), rng.choice((1, 1, 1, 2, 4))
        what = rng.random()
        if what < 0.4:
            log.append(pc.bus.read(port, size))
        elif what < 0.9:
            pc.bus.write(port, rng.getrandbits(8 * size), size)
        elif what < 0.95 and pc.pic.intr:
            log.append(pc.pic.acknowledge())
        elif what < 0.96:
            pc.uart.feed(rng.randbytes(rng.randrange(20)))
        elif what < 0.965:
            pc.type(rng.choice("aZ9\n"))
        elif what < 0.98:
            at, size = (
                rng.choice((0x9FFFC, 0xB8000, 0xBFFFE, 0xA0000)) + rng.randrange(8),
                rng.choice((1, 2, 4)),
            )
            log.append(pc.mmio.read(at, size))
            pc.mmio.write(at, rng.getrandbits(8 * size), size)
        else:
            pc.clock.advance(pc.clock.now + rng.choice((1, 7, 100, 10_000)))
        log.append(pc.pic.intr)
    return log


def test_a_guest_may_write_any_byte_to_any_port_at_any_time_and_a_reload_changes_nothing():
    rng = random.Random(20260)
    pc, operations, step = PcDevices(Clock()), 0, 5000
    while operations < 250_000:
        cut = rng.randrange(1, 200)
        if rng.random() < 0.5:
            pc.firmware()  # from order as well as from chaos
        scribble(pc, random.Random(operations), step)
        copy = PcDevices(Clock())
        copy.load(json.loads(json.dumps(pc.save())))
        seed = rng.random()
        assert scribble(copy, random.Random(seed), cut) == scribble(pc, random.Random(seed), cut)
        assert copy.save() == pc.save()
        assert pc.clock.pending <= 4, "counter 0, the serial port's time-out, the clock, a key"
        assert len(pc.clock._queue) < 200
        del pc.console[:]
        pc.keyboard.typed.clear()
        operations += step + 2 * cut


def test_devices_know_nothing_of_monitors_modes_or_cpus():
    folder = Path(vmm.devices.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                inside = name.split(".")[0] in ("vmm", "isa", "cli", "guests")
                assert not inside or name.startswith(("vmm.clock", "vmm.devices")), f"{path.name}: {name}"


def test_no_access_anywhere_raises_and_a_reload_of_everything_changes_nothing():
    """All 65,536 ports and all of the memory devices, with every device there is."""
    rng = random.Random(0xFFFF)

    def make():
        return PcDevices(Clock(), apic=True, disk=Disk(bytes(range(256)) * 40))

    def access(pc, r, count):
        log = []
        owned = [port for device in pc.bus.devices for span in device.ports for port in span]
        regions = [page << 12 for page in sorted(pc.mmio.pages())]
        for _ in range(count):
            size, value = r.choice((1, 2, 4)), r.getrandbits(32)
            port = r.choice((r.choice(owned), r.randrange(0x10000)))
            at = r.choice((r.choice(regions) + r.randrange(0x1000), r.getrandbits(32)))
            what = r.randrange(5)
            if what == 0:
                log.append(pc.bus.read(port, size))
            elif what == 1:
                pc.bus.write(port, value, size)
            elif what == 2:
                log.append(pc.mmio.read(at, size))
            elif what == 3:
                pc.mmio.write(at, value & (1 << 8 * size) - 1, size)
            else:
                pc.clock.advance(pc.clock.now + r.choice((1, 100, 5_000)))
                log += [pc.interrupts.acknowledge()] if pc.interrupts.intr else []
        return log

    pc = make()
    for _ in range(12):
        access(pc, random.Random(rng.random()), 10_000)
        copy = make()
        copy.load(json.loads(json.dumps(pc.save())))
        seed = rng.random()
        assert access(copy, random.Random(seed), 2_000) == access(pc, random.Random(seed), 2_000)
        assert copy.save() == pc.save()
