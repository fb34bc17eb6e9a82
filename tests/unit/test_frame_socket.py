"""A send never blocks, and what the socket has no room for is sent later, in order."""

import queue
import socket
import threading

from shared.transport.embedded.frame_socket import FrameSocket
from shared.transport.embedded.frames import Frame, Kind, encode_frame

BIG = b"x" * 200_000
WAIT_S = 30


def test_frames_beyond_the_room_of_the_socket_arrive_in_order_when_the_other_end_reads() -> None:
    here, there = socket.socketpair()
    arrived: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    ended = threading.Event()
    sender = FrameSocket(here, "sender", lambda _: None, lambda: None)
    receiver = FrameSocket(there, "receiver", arrived.put, ended.set)

    for number in range(50):
        sender.send(encode_frame(Kind.SEND, number, BIG))
    receiver.start()

    frames = [arrived.get(timeout=WAIT_S) for _ in range(50)]
    assert [frame.number for frame in frames] == list(range(50))
    assert {frame.parts for frame in frames} == {(BIG,)}
    sender.close()
    assert ended.wait(WAIT_S)
    receiver.close()


def test_a_send_to_an_end_that_has_closed_is_lost_and_does_not_block() -> None:
    here, there = socket.socketpair()
    ended = threading.Event()
    sender = FrameSocket(here, "sender", lambda _: None, ended.set)
    sender.start()
    there.close()
    assert ended.wait(WAIT_S)

    for _ in range(20):
        sender.send(encode_frame(Kind.SEND, 1, BIG))

    sender.close()


def test_what_threads_send_at_once_beyond_the_room_of_the_socket_all_arrives_each_in_its_order() -> None:
    here, there = socket.socketpair()
    arrived: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    sender = FrameSocket(here, "sender", lambda _: None, lambda: None)
    receiver = FrameSocket(there, "receiver", arrived.put, lambda: None)
    part = b"x" * 20_000

    def send(thread: int) -> None:
        for number in range(100):
            sender.send(encode_frame(Kind.SEND, number, b"%d" % thread, part))

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(8)]
    for each in threads:
        each.start()
    receiver.start()
    frames = [arrived.get(timeout=WAIT_S) for _ in range(800)]

    for thread in range(8):
        assert [frame.number for frame in frames if frame.parts[0] == b"%d" % thread] == list(range(100))
    assert {frame.parts[1] for frame in frames} == {part}
    for each in threads:
        each.join()
    sender.close()
    receiver.close()
