"""The two 8259A, as a kernel programs them and as the CPU's INTR and INTA see them."""

import json
import random

import pytest

from vmm.devices.pic import PicPair

MASTER, SLAVE = 0x20, 0xA0
EOI = 0x20


def write(pic, port, *values):
    for value in values:
        pic.write(port, value, 1)


def started(*, icw1=0x11, icw4=0x01, slave_icw4=0x01, slave_id=2):
    """A pair with vectors 20h and 28h and nothing masked."""
    pic = PicPair()
    write(pic, MASTER, icw1)
    write(pic, MASTER + 1, 0x20, 0x04, icw4)
    write(pic, SLAVE, icw1)
    write(pic, SLAVE + 1, 0x28, slave_id, slave_icw4)
    return pic


def pulse(pic, *lines):
    for line in lines:
        pic.set_irq(line, False)
        pic.set_irq(line, True)


def in_service(pic, port=MASTER):
    write(pic, port, 0x0B)
    return pic.read(port, 1)


def requests(pic, port=MASTER):
    write(pic, port, 0x0A)
    return pic.read(port, 1)


def test_nothing_is_asked_before_initialisation():
    pic = PicPair()
    pulse(pic, 0, 9)
    assert not pic.intr


def test_a_request_gives_the_vector_of_its_line():
    pic = started()
    pulse(pic, 3)
    assert pic.intr
    assert pic.acknowledge() == 0x23
    assert not pic.intr
    assert in_service(pic) == 0x08


def test_a_slave_request_goes_through_the_cascade_and_serves_in_both():
    pic = started()
    pulse(pic, 12)
    assert pic.acknowledge() == 0x2C
    assert in_service(pic) == 0x04
    assert in_service(pic, SLAVE) == 0x10


def test_the_lower_level_has_the_higher_priority_and_the_slave_comes_between_1_and_3():
    pic = started()
    pulse(pic, 7, 3, 15, 8, 1, 0)
    vectors = []
    while pic.intr:
        vectors.append(pic.acknowledge())
        if vectors[-1] >= 0x28:
            write(pic, SLAVE, EOI)
        write(pic, MASTER, EOI)
    assert vectors == [0x20, 0x21, 0x28, 0x2F, 0x23, 0x27]


def test_a_level_in_service_holds_back_itself_and_all_below_but_none_above():
    pic = started()
    pulse(pic, 3)
    pic.acknowledge()
    pulse(pic, 3, 5)
    assert not pic.intr
    pulse(pic, 1)
    assert pic.acknowledge() == 0x21
    write(pic, MASTER, EOI)
    assert not pic.intr
    write(pic, MASTER, EOI)
    assert pic.acknowledge() == 0x23


def test_a_masked_request_waits_and_interrupts_when_unmasked():
    pic = started()
    write(pic, MASTER + 1, 0x08)
    pulse(pic, 3)
    assert not pic.intr
    assert requests(pic) == 0x08
    assert pic.read(MASTER + 1, 1) == 0x08
    write(pic, MASTER + 1, 0)
    assert pic.intr


def test_an_edge_triggered_line_interrupts_once_while_it_stays_high():
    pic = started()
    pulse(pic, 4)
    pic.acknowledge()
    write(pic, MASTER, EOI)
    assert not pic.intr
    pic.set_irq(4, True)
    assert not pic.intr
    pulse(pic, 4)
    assert pic.intr


@pytest.mark.parametrize("how", ["elcr", "ltim"])
def test_a_level_triggered_line_interrupts_again_after_eoi(how):
    pic = started(icw1=0x19 if how == "ltim" else 0x11)
    if how == "elcr":
        write(pic, 0x4D0, 0x20)
    pic.set_irq(5, True)
    for _ in range(3):
        assert pic.acknowledge() == 0x25
        assert not pic.intr
        write(pic, MASTER, EOI)
        assert pic.intr
    pic.set_irq(5, False)
    assert not pic.intr


def test_elcr_reads_back_and_keeps_the_motherboard_lines_edge_triggered():
    pic = started()
    write(pic, 0x4D0, 0xFF)
    write(pic, 0x4D1, 0xFF)
    assert pic.read(0x4D0, 1) == 0xF8
    assert pic.read(0x4D1, 1) == 0xDE


def test_a_request_withdrawn_before_inta_is_gone_and_inta_gets_the_spurious_irq7():
    pic = started()
    pulse(pic, 3)
    pic.set_irq(3, False)
    assert not pic.intr
    assert pic.acknowledge() == 0x27
    assert in_service(pic) == 0


def test_a_spurious_irq15_is_in_service_in_the_master_only():
    pic = started()
    pic.master.set_line(2, True)  # the slave's INT was seen, and is withdrawn in the middle of INTA
    assert pic.acknowledge() == 0x2F
    assert in_service(pic) == 0x04
    assert in_service(pic, SLAVE) == 0


def test_a_true_irq7_is_told_from_a_spurious_one_by_its_in_service_bit():
    pic = started()
    pulse(pic, 7)
    assert pic.acknowledge() == 0x27
    assert in_service(pic) == 0x80


def test_line_2_of_the_bus_arrives_as_irq_9():
    pic = started()
    pulse(pic, 2)
    assert pic.acknowledge() == 0x29


def test_a_line_that_does_not_exist_is_the_callers_mistake():
    with pytest.raises(ValueError, match="no interrupt line 16"):
        PicPair().set_irq(16, True)


def test_a_specific_eoi_ends_the_level_it_names():
    pic = started()
    pulse(pic, 5)
    pic.acknowledge()
    pulse(pic, 1)
    pic.acknowledge()
    write(pic, MASTER, 0x65)
    assert in_service(pic) == 0x02
    write(pic, MASTER, 0x61)
    assert in_service(pic) == 0


def test_a_non_specific_eoi_ends_the_level_of_highest_priority():
    pic = started()
    pulse(pic, 5)
    pic.acknowledge()
    pulse(pic, 1)
    pic.acknowledge()
    write(pic, MASTER, EOI)
    assert in_service(pic) == 0x20


def test_an_eoi_with_nothing_in_service_changes_nothing():
    pic = started()
    before = pic.save()
    write(pic, MASTER, EOI, 0xA0)
    assert pic.save() == before


def test_rotation_on_eoi_makes_the_level_served_the_lowest():
    pic = started()
    pulse(pic, 4)
    pic.acknowledge()
    write(pic, MASTER, 0xA0)
    pulse(pic, 4, 3, 5)
    order = []
    while pic.intr:
        order.append(pic.acknowledge() & 7)
        write(pic, MASTER, 0x60 | order[-1])
    assert order == [5, 3, 4]


def test_rotation_on_a_specific_eoi_names_the_level_and_set_priority_needs_no_eoi():
    pic = started()
    pulse(pic, 4)
    pic.acknowledge()
    write(pic, MASTER, 0xE4)
    assert in_service(pic) == 0
    pulse(pic, 4, 5)
    assert pic.acknowledge() == 0x25
    write(pic, MASTER, 0x65, 0xC7)
    pulse(pic, 5)
    assert pic.acknowledge() == 0x24


def test_ocw2_40h_is_no_operation():
    pic = started()
    before = pic.save()
    write(pic, MASTER, 0x45)
    assert pic.save() == before


def test_automatic_eoi_leaves_nothing_in_service():
    pic = started(icw4=0x03)
    pulse(pic, 3, 5)
    assert pic.acknowledge() == 0x23
    assert in_service(pic) == 0
    assert pic.acknowledge() == 0x25
    assert not pic.intr


def test_rotation_in_automatic_eoi_mode_is_fair():
    pic = started(icw4=0x03)
    write(pic, MASTER, 0x80)
    served = []
    for _ in range(4):
        pulse(pic, 3, 5)
        served.append(pic.acknowledge())
    assert served == [0x23, 0x25, 0x23, 0x25]
    write(pic, MASTER, 0x00)
    served = []
    for _ in range(2):
        pulse(pic, 6, 7)
        served.append(pic.acknowledge())
    assert served[0] == served[1]


def test_special_mask_mode_lets_lower_levels_through_a_masked_level_in_service():
    pic = started()
    pulse(pic, 3)
    pic.acknowledge()
    pulse(pic, 3, 6)
    write(pic, MASTER + 1, 0x08)
    assert not pic.intr
    write(pic, MASTER, 0x68)
    assert pic.acknowledge() == 0x26
    write(pic, MASTER, EOI)
    assert in_service(pic) == 0x08, "a non-specific EOI passes over what special mask mode has set aside"
    write(pic, MASTER, EOI)
    assert in_service(pic) == 0x08
    write(pic, MASTER, 0x48)
    write(pic, MASTER, EOI)
    assert in_service(pic) == 0


def test_special_fully_nested_mode_lets_the_slave_interrupt_its_own_service():
    for icw4, nests in ((0x01, False), (0x11, True)):
        pic = started(icw4=icw4)
        pulse(pic, 12)
        assert pic.acknowledge() == 0x2C
        pulse(pic, 10)
        assert pic.intr is nests
        if nests:
            assert pic.acknowledge() == 0x2A


def test_special_fully_nested_mode_does_not_let_lower_levels_through():
    pic = started(icw4=0x11)
    pulse(pic, 12)
    pic.acknowledge()
    pulse(pic, 5)
    assert not pic.intr


def test_a_poll_acknowledges_by_reading():
    pic = started()
    pulse(pic, 3)
    write(pic, MASTER, 0x0C)
    assert pic.read(MASTER, 1) == 0x83
    assert not pic.intr
    assert in_service(pic) == 0x08
    write(pic, MASTER, 0x0C)
    assert pic.read(MASTER + 1, 1) == 0, "whichever port is read, and nobody asks"
    assert pic.read(MASTER + 1, 1) == 0


def test_a_polled_master_leaves_the_slave_to_be_polled():
    pic = started()
    pulse(pic, 11)
    write(pic, MASTER, 0x0C)
    assert pic.read(MASTER, 1) == 0x82
    assert in_service(pic, SLAVE) == 0
    write(pic, SLAVE, 0x0C)
    assert pic.read(SLAVE, 1) == 0x83


def test_the_register_to_read_stays_chosen():
    pic = started()
    pulse(pic, 1)
    pic.acknowledge()
    pulse(pic, 6)
    assert pic.read(MASTER, 1) == 0x40, "IRR after initialisation"
    write(pic, MASTER, 0x0B)
    assert pic.read(MASTER, 1) == 0x02
    write(pic, MASTER, 0x08)  # RR = 0: no action
    assert pic.read(MASTER, 1) == 0x02
    write(pic, MASTER, 0x0A)
    assert pic.read(MASTER, 1) == 0x40


def test_initialisation_clears_mask_and_service_and_forgets_edges():
    pic = started()
    write(pic, MASTER + 1, 0xFF)
    pulse(pic, 3)
    write(pic, MASTER, 0x11)
    write(pic, MASTER + 1, 0x40, 0x04, 0x01)
    assert pic.read(MASTER + 1, 1) == 0
    assert requests(pic) == 0
    assert not pic.intr
    pic.set_irq(3, False)
    pulse(pic, 3)
    assert pic.acknowledge() == 0x43


def test_no_request_leaves_the_chip_while_it_waits_for_its_words():
    pic = started()
    write(pic, MASTER, 0x11)
    pulse(pic, 0)
    for value in (0x20, 0x04, 0x01):
        assert not pic.intr
        write(pic, MASTER + 1, value)
    assert pic.intr


def test_icw1_says_which_words_follow():
    pic = PicPair()
    write(pic, MASTER, 0x13)  # single, with ICW4
    write(pic, MASTER + 1, 0x50, 0x01, 0xFE)  # ICW2, ICW4, OCW1
    assert pic.read(MASTER + 1, 1) == 0xFE
    pulse(pic, 0)
    assert pic.acknowledge() == 0x50


def test_a_single_master_serves_line_2_itself():
    pic = started()
    write(pic, MASTER, 0x13)
    write(pic, MASTER + 1, 0x50, 0x01)
    pic.set_irq(9, False)
    pulse(pic, 9)
    assert pic.acknowledge() == 0x52


def test_without_icw4_the_vector_is_the_low_byte_of_an_8080_call():
    pic = PicPair()
    write(pic, MASTER, 0xF6)  # interval 4, single, no ICW4
    write(pic, MASTER + 1, 0x12)
    pulse(pic, 3)
    assert pic.acknowledge() == 0xE0 | 3 << 2


def test_a_slave_with_the_wrong_identity_answers_nothing():
    pic = started(slave_id=3)
    pulse(pic, 12)
    assert pic.acknowledge() == 0xFF
    assert in_service(pic, SLAVE) == 0


def test_the_low_bits_of_icw2_are_ignored():
    pic = started()
    write(pic, MASTER, 0x11)
    write(pic, MASTER + 1, 0x37, 0x04, 0x01)
    pulse(pic, 1)
    assert pic.acknowledge() == 0x31


def test_a_slave_in_automatic_eoi_mode_makes_a_new_edge_for_each_request():
    pic = started(icw4=0x03, slave_icw4=0x03)
    pulse(pic, 9, 13)
    assert pic.acknowledge() == 0x29
    assert pic.intr
    assert pic.acknowledge() == 0x2D
    assert not pic.intr


def test_a_second_slave_request_waits_for_the_masters_eoi():
    pic = started()
    pulse(pic, 12)
    pic.acknowledge()
    pulse(pic, 9)
    assert not pic.intr
    write(pic, MASTER, EOI)
    assert pic.acknowledge() == 0x29


def test_on_change_is_called_when_intr_changes_and_only_then():
    pic, seen = started(), []
    pic.on_change = lambda: seen.append(pic.intr)
    pulse(pic, 3)
    pulse(pic, 5)
    pic.set_irq(3, True)
    pic.acknowledge()
    write(pic, MASTER, EOI)
    pic.acknowledge()
    assert seen == [True, False, True, False]


def test_intr_follows_the_definition_of_priority_whatever_is_written():
    """A naive reading of the datasheet, against the chip, over random commands and lines."""

    def naive(chip):
        if not chip.ready:
            return None
        for step in range(1, 9):
            level = (chip.lowest + step) % 8
            bit = 1 << level
            wanted = chip.irr & bit and not chip.imr & bit
            serving = chip.isr & bit and not (chip.special_mask and chip.imr & bit)
            if serving:
                return level if wanted and chip.icw4 & 0x10 and chip.icw3 & bit else None
            if wanted:
                return level
        return None

    rng, pic = random.Random(8259), started()
    for _ in range(20_000):
        match rng.randrange(6):
            case 0:
                write(
                    pic,
                    rng.choice((MASTER, SLAVE)),
                    rng.randrange(256) & (0xFF if rng.random() < 0.1 else 0xEF),
                )
            case 1:
                write(pic, rng.choice((MASTER + 1, SLAVE + 1)), rng.choice((0, rng.randrange(256))))
            case 2 if pic.intr:
                pic.acknowledge()
            case _:
                pic.set_irq(rng.randrange(16), rng.random() < 0.5)
        for chip in (pic.master, pic.slave):
            assert chip.request() == naive(chip)
        assert pic.intr == (naive(pic.master) is not None)
        assert bool(pic.master.lines & 4) == (naive(pic.slave) is not None)


def test_a_reloaded_pair_behaves_as_the_saved_one():
    pic = started()
    write(pic, 0x4D0, 0x20)
    pulse(pic, 12, 3, 5)
    pic.acknowledge()
    write(pic, SLAVE, 0x11)
    write(pic, SLAVE + 1, 0x70)  # in the middle of initialisation
    copy = PicPair()
    copy.load(json.loads(json.dumps(pic.save())))
    assert copy.intr == pic.intr
    for each in (pic, copy):
        write(each, SLAVE + 1, 0x02, 0x01)
        write(each, MASTER, EOI)
        pulse(each, 14)
    assert copy.save() == pic.save()
    assert copy.acknowledge() == pic.acknowledge() == 0x76
