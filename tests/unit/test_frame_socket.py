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
