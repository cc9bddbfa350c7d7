"""UF2 files are checked before anything happens to a board."""

import pytest
from pico_firmware import FLASH_BASE, RP2040, RP2350_ABSOLUTE, RP2350_ARM, RP2350_RISC_V, uf2_blocks
from picolink_pc.uf2 import Uf2Error, read_uf2

DATA = bytes(range(256)) * 5
BLOCKS = uf2_blocks(DATA)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "firmware.uf2"


def write(file, blocks):
    file.write_bytes(b"".join(blocks))
    return file


def test_a_whole_file_is_read(file):
    image = read_uf2(write(file, BLOCKS))
    assert image.chip == "RP2040"
    assert image.ranges() == [(FLASH_BASE, DATA)]
    assert image.content == file.read_bytes()


def test_blocks_may_come_in_any_order(file):
    assert read_uf2(write(file, BLOCKS[::-1])).ranges() == [(FLASH_BASE, DATA)]


def test_a_gap_separates_ranges(file):
    content = bytearray(b"".join(BLOCKS))
    for start in range(3 * 512, 5 * 512, 512):
        content[start + 14] = 0x10  # the last two blocks go 1 MiB higher
    file.write_bytes(content)
    gap = 0x100000
    assert read_uf2(file).ranges() == [(FLASH_BASE, DATA[:768]), (FLASH_BASE + gap + 768, DATA[768:])]


def test_the_block_for_any_rp2350_in_front_is_not_part_of_the_image(file):
    blocks = uf2_blocks(b"\xef" * 256, RP2350_ABSOLUTE) + uf2_blocks(DATA, RP2350_ARM)
    image = read_uf2(write(file, blocks))
    assert (image.chip, image.ranges()) == ("RP2350", [(FLASH_BASE, DATA)])


@pytest.mark.parametrize(
    ("family", "chip", "cores"),
    [(RP2040, "RP2040", "ARM"), (RP2350_ARM, "RP2350", "ARM"), (RP2350_RISC_V, "RP2350", "RISC-V")],
)
def test_the_family_tells_chip_and_cores(file, family, chip, cores):
    image = read_uf2(write(file, uf2_blocks(DATA, family)))
    assert (image.chip, image.cores) == (chip, cores)


def changed(block, position, value):
    return block[:position] + bytes([value]) + block[position + 1 :]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "is not a UF2 file"),
        ([b"x" * 512], "is not a UF2 file"),
        ([*BLOCKS, b"\0" * 100], "is cut short"),
        (BLOCKS[:-1], "1 of 5 blocks are missing"),
        (BLOCKS[:2] + BLOCKS[3:], "1 of 5 blocks are missing"),
        ([*BLOCKS[:2], b"\0" * 512, *BLOCKS[3:]], "is damaged in block 2"),
        ([*BLOCKS[:2], changed(BLOCKS[2], 511, 0), *BLOCKS[3:]], "is damaged in block 2"),
        ([*BLOCKS[:2], changed(BLOCKS[2], 17, 2), *BLOCKS[3:]], "is damaged in block 2"),
        ([*BLOCKS[:2], changed(BLOCKS[2], 20, 9), *BLOCKS[3:]], "is damaged in block 2"),
        (uf2_blocks(DATA, 0xADA52840), r"is for another chip \(family id 0xada52840 in block 0\)"),
        (uf2_blocks(DATA, RP2040, flags=0), "does not say for which chip it is"),
        (BLOCKS + uf2_blocks(DATA, RP2350_ARM), r"is for RP2040 and RP2350 \(ARM\): one is needed"),
        (
            uf2_blocks(DATA, RP2350_ARM) + uf2_blocks(DATA, RP2350_RISC_V),
            r"is for RP2350 \(ARM\) and RP2350 \(RISC-V\): one is needed",
        ),
        (BLOCKS + BLOCKS, "has blocks of several files, or some twice"),
        (BLOCKS + uf2_blocks(DATA[:300]), "has blocks of several files, or some twice"),
        ([*BLOCKS, BLOCKS[0]], "has blocks of several files, or some twice"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(file, blocks, message):
    with pytest.raises(Uf2Error, match=message) as error:
        read_uf2(write(file, blocks))
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
