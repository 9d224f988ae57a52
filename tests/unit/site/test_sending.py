"""Which replies of a Pod are under way, over what a SuperNode may do and what a restart of the site controller may lose."""

from __future__ import annotations

import pytest

from panal.site.flower import LARGEST_ERROR, NOTHING, Reply, Sent
from panal.site.sending import KEPT, MOST_OPEN, SETTLED, LostError, NotAnnouncedError, Sending, pushed, restored


def reply(root: str, *others: str, error: bool = False) -> Reply:
    return Reply("train", root, root, frozenset({root, *others}), error, f"request-{root}")


def announced(*found: Reply) -> Sent:
    return Sent(replies=found)


def objects(*names: str) -> Sent:
    return Sent(objects=names)


def test_a_reply_is_over_when_all_of_its_objects_have_passed() -> None:
    sending = Sending()
    assert sending.accept(announced(reply("r", "a", "b")), 10, 0) == 0
    for names in (("a",), ("r", "b")):
        assert not sending.finished(0)
        sending.check(objects(*names))
        assert sending.accept(objects(*names), 100, 0) == 0
    (found,) = sending.finished(0)
    assert (found.reply.digest, found.bytes, found.missing) == ("r", 210, set())


def test_it_counts_until_its_end_is_in_the_ledger() -> None:
    sending = Sending()
    sending.accept(announced(reply("r")), 10, 0)
    sending.accept(objects("r"), 10, 0)
    assert [each.reply for each in sending.finished(0)] == [each.reply for each in sending.finished(0)]
    sending.closed(sending.finished(0)[0].reply)
    assert (sending.finished(0), sending.bytes) == ([], 0)


def test_objects_that_the_aggregator_has_are_not_waited_for() -> None:
    sending = Sending()
    sending.accept(announced(reply("r", "a", "b")), 10, 0)
    sending.accept(objects("a"), 10, 1)
    assert not sending.finished(100)
    sending.accept(objects("r"), 10, 100)
    assert not sending.finished(100 + SETTLED / 2)
    (found,) = sending.finished(100 + SETTLED)
    assert found.missing == {"b"}


def test_requests_that_are_repeated_pass_and_begin_nothing() -> None:
    sending, again = Sending(), announced(reply("r", "a"))
    sending.accept(again, 10, 0)
    assert not sending.new(again)
    sending.accept(objects("r", "a"), 10, 0)
    sending.closed(sending.finished(0)[0].reply)
    for sent in (again, objects("a")):
        sending.check(sent)
        assert sending.accept(sent, 7, 1) == 7
    assert not sending.open


def test_what_was_not_announced_does_not_pass() -> None:
    sending = Sending()
    sending.accept(announced(reply("r", "a")), 10, 0)
    with pytest.raises(NotAnnouncedError, match="the object b belongs"):
        sending.check(objects("a", "b"))
    sending.check(NOTHING)


def test_so_many_replies_are_under_way_and_no_more() -> None:
    sending = Sending()
    for number in range(MOST_OPEN):
        sending.check(announced(reply(str(number), f"{number}-a")))
        sending.accept(announced(reply(str(number), f"{number}-a")), 1, 0)
    more = announced(reply("more"))
    with pytest.raises(NotAnnouncedError, match="under way"):
        sending.check(more)
    sending.accept(objects("0"), 1, 0)
    sending.check(more)
    assert [each.reply.digest for each in sending.finished(0, announced=True)] == ["0"]


def test_replies_that_are_over_are_forgotten_in_time() -> None:
    sending = Sending()
    for number in range(KEPT + 1):
        sending.accept(announced(reply(str(number))), 1, 0)
        sending.accept(objects(str(number)), 1, 0)
        sending.closed(sending.finished(0)[0].reply)
    with pytest.raises(NotAnnouncedError):
        sending.check(objects("0"))
    sending.check(objects("1"))


def test_a_pod_that_ends_leaves_what_had_passed() -> None:
    sending = Sending()
    sending.accept(announced(reply("r", "a")), 10, 0)
    sending.accept(objects("a"), 5, 0)
    (found,) = sending.finished(0, ended=True)
    assert (found.bytes, found.missing) == (15, {"r"})


def test_an_error_without_objects_is_over_at_once() -> None:
    sending = Sending()
    error = Reply("train", "3", "", frozenset(), True, "abc")
    sending.accept(announced(error), 10, 0)
    (found,) = sending.finished(0)
    sending.closed(found.reply)
    assert not sending.new(announced(error))


def test_it_is_the_same_after_a_restart_also_after_half_a_line() -> None:
    sending = Sending()
    sending.accept(announced(reply("old")), 1, 0)
    sending.accept(objects("old"), 1, 0)
    sending.closed(sending.finished(0)[0].reply)
    sending.accept(announced(reply("r", "a", "b")), 10, 0)
    lines = [f"{line}\n" for line in sending.lines()]
    sending.accept(objects("a"), 5, 0)
    lines += [pushed(["a"], 5) + "\n", '{"pushed": ["b"']
    assert restored(lines, 0) == sending


def test_what_was_open_stays_so_whatever_follows_it() -> None:
    sending = Sending()
    sending.accept(announced(reply("r", "a", "b")), 10, 0)
    (line,) = sending.lines()
    assert restored([f"{line}\n", "\0\0\0\n", '{"pushed": 1}\n', "[]\n", pushed(["a"], 5) + "\n"], 0).open["request-r"].missing == {
        "r",
        "b",
    }


@pytest.mark.parametrize("lines", [[], ["\0\0"], ["\0\n"], ["\0\n", "REPLY"]])
def test_where_a_reply_may_be_lost_nothing_is_taken_for_granted(lines: list[str]) -> None:
    sending = Sending()
    sending.accept(announced(reply("r", "a")), 10, 0)
    (line,) = sending.lines()
    with pytest.raises(LostError):
        restored([each.replace("REPLY", f"{line}\n") for each in lines], 0)


def test_an_error_has_room_for_its_text_and_no_more() -> None:
    sending, small, large = Sending(), Sent(objects=("r",), sizes=(LARGEST_ERROR,)), Sent(objects=("r",), sizes=(LARGEST_ERROR + 1,))
    sending.accept(announced(reply("r", error=True)), 10, 0)
    with pytest.raises(NotAnnouncedError, match="an error with an object of"):
        sending.check(large)
    sending.check(small)
    sending.accept(announced(reply("s", "r")), 10, 0)
    sending.check(large)  # it is a part of a reply that counts
