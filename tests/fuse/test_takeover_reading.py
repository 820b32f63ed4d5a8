"""Engines that die while a file is read which somebody wants to replace: no reader sees two versions in one."""

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
