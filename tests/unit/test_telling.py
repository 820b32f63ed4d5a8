"""What an engine tells of its multipart uploads: each last word arrives, whatever room the link has; none of its own
is aborted.
"""

from engine.fs.ledger import Ledger
from engine.link import PACKET_BYTES_MAX, encode
from engine.telling import UploadTeller
from engine.uploads import UploadsTold


class Uploader:
    """Stands for the engine's: notes what it is to abort."""

    def __init__(self) -> None:
        self.left: list[dict[str, str]] = []

    def abort_left(self, uploads: dict[str, str]) -> None:
        self.left.append(uploads)


class Told:
    """A link with room for some messages, and what whoever listens makes of them."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.messages: list[UploadsTold] = []
        self.begun: dict[str, str] = {}
        self.asked: dict[str, float] = {}
        self.ledger = Ledger()
        self.uploader = Uploader()
        self.teller = UploadTeller(self.take).over(self.ledger)

    def begin(self) -> UploadTeller:
        self.teller.begin(self.uploader)  # type: ignore[arg-type]
        return self.teller

    def take(self, told: UploadsTold) -> bool:
        assert len(encode(told)) < PACKET_BYTES_MAX
        if self.room == 0:
            return False
        self.room -= 1
        self.messages.append(told)
        if told.anew:
            self.begun, self.asked = {}, {}
        self.begun |= told.begun
        self.asked |= told.asked
        for each in told.ended:
            self.begun.pop(each, None)
        for key in told.settled:
            self.asked.pop(key, None)
        return True


def test_an_upload_is_told_from_its_beginning_to_its_end() -> None:
    told = Told()
    teller = told.begin()
    teller.upload_asked("k")
    assert list(told.asked) == ["k"]
    teller.upload_begun("id", "k")
    assert (told.begun, told.asked) == ({"id": "k"}, {})
    teller.upload_ended("id")
    assert told.begun == told.ledger.uploads == {}
    teller.upload_asked("k")
    teller.upload_refused("k")
    assert told.asked == told.ledger.asked == {}


def test_what_the_engine_before_had_begun_is_told_at_the_beginning_and_nothing_before_it() -> None:
    told = Told()
    told.ledger.upload_begun("old", "k")
    told.ledger.upload_asked("asked")
    told.teller.tell_all()
    assert told.messages == []
    told.begin()

    (message,) = told.messages
    assert (message.anew, message.all_told, message.begun) == (True, True, {"old": "k"})
    assert list(message.asked) == ["asked"]


def test_without_room_the_last_word_of_each_is_kept_and_told_later() -> None:
    told = Told(room=1)
    teller = told.begin()
    for number in range(3):
        teller.upload_asked(f"k{number}")
        teller.upload_begun(f"id{number}", f"k{number}")
    teller.upload_asked("k3")
    teller.upload_ended("id0")
    assert len(told.messages) == 1
    told.room = 1
    teller.catch_up()
    teller.catch_up()

    assert (told.begun, list(told.asked)) == ({"id1": "k1", "id2": "k2"}, ["k3"])
    assert len(told.messages) == 2


def test_very_many_with_the_longest_keys_are_told_in_packets_of_the_links_size() -> None:
    told = Told(room=0)
    teller = told.begin()
    for number in range(300):
        teller.upload_begun(f"{number}-{'i' * 1000}", "\1" * 1024)
        teller.upload_asked("\2" * 1000 + str(number))
    for room in (1, 2, 1000):
        told.room = room
        teller.catch_up()

    assert (told.begun, told.asked) == (told.ledger.uploads, told.ledger.asked)
    assert len(told.begun) == 300
    assert [message.anew for message in told.messages] == [True] + [False] * (len(told.messages) - 1)
    assert [message.all_told for message in told.messages] == [False] * (len(told.messages) - 1) + [True]


def test_a_supervisor_that_asks_anew_in_the_middle_of_it_hears_all() -> None:
    told = Told(room=0)
    teller = told.begin()
    for number in range(300):
        teller.upload_begun(f"{number}-{'i' * 1000}", "\1" * 1024)
    told.room = 3
    teller.catch_up()
    teller.upload_ended(next(iter(told.begun)))
    told.room = 1000
    teller.tell_all()

    assert told.begun == told.ledger.uploads
    assert len(told.begun) == 299
    assert told.messages[-1].all_told


def test_of_what_it_is_to_abort_its_own_are_left_alone_and_none_is_aborted_twice_at_a_time() -> None:
    told = Told()
    teller = told.begin()
    teller.upload_begun("mine", "k")
    for _ in range(2):
        teller.abort({"mine": "k", "left": "k"})
    teller.upload_ended("left")
    teller.abort({"left": "k"})

    assert told.uploader.left == [{"left": "k"}, {"left": "k"}]
    assert told.messages[-1].ended == ("left",)
    assert told.ledger.uploads == {"mine": "k"}
