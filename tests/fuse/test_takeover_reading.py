"""Engines that die while programs read: no reader sees two versions of a file in one, and no listing misses a name."""

from tests.fuse.test_takeover_writing import Crashing, crashing

__all__ = ["crashing"]  # the fixture


def test_no_reader_sees_what_was_read_of_the_version_before_since_a_takeover(crashing: Crashing) -> None:
    """S24: an inode is one version, also in the kernel's pages, which a reader of the one before would fill."""
    crashing.moto.put(crashing.bucket, "f", b"as it was" * 10_000)
    program = crashing.program
    program("globals().update(f=os.open('f', os.O_RDONLY))")

    crashing.crash()

    assert program("globals().update(w=os.open('f', os.O_WRONLY | os.O_TRUNC))") == "None"
    assert program("os.write(w, b'as it is!' * 10_000)") == "90000"
    assert program("os.pread(f, 90_000, 0)") == "EBADF"
    assert program("os.close(w)") == "None"
    assert program("open('f').read() == 'as it is!' * 10_000") == "True"


def test_a_file_is_not_replaced_while_a_reader_reads_on_after_a_takeover(crashing: Crashing) -> None:
    """S67."""
    crashing.moto.put(crashing.bucket, "f", b"as it was")
    program = crashing.program
    program("globals().update(f=os.open('f', os.O_RDONLY))")

    crashing.crash()

    assert program("os.pread(f, 9, 0)") == "b'as it was'"
    assert program("open('f', 'w')") == "EPERM"
    assert program("os.close(f)") == "None"
    assert program("open('f', 'w').write('as it is')") == "8"
    assert program("open('f').read()") == "as it is"


def test_a_program_that_deletes_what_it_lists_finds_every_name_though_an_engine_dies(crashing: Crashing) -> None:
    """S12: its successor asks S3 for the rest of the listing, in which all has another place since."""
    # More than the kernel asks for at once, which are some 90 of names so long.
    names = [f"{number:03}-{'long' * 50}" for number in range(120)]
    for name in names:
        crashing.moto.put(crashing.bucket, f"d/{name}", b"")
    program = crashing.program
    program("globals().update(listed=os.scandir('d'), found=[], take=__import__('itertools').islice)")
    program("[(found.append(entry.name), os.unlink(entry.path)) for entry in take(listed, 60)][:0]")

    crashing.crash()

    program("[(found.append(entry.name), os.unlink(entry.path)) for entry in listed][:0]")
    assert program("found") == str(names)
    assert crashing.keys() == []
