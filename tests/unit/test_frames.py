"""Frames arrive whole and in order, however the stream is cut."""

from hypothesis import given
from hypothesis import strategies as st

from shared.transport.base import COMMANDS, worker_queue
from shared.transport.embedded.frames import Frame, FrameReader, Kind, encode_frame, pack_queue, unpack_queue

FRAMES = st.lists(
    st.tuples(st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.lists(st.binary(max_size=30), max_size=5))
)


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_read_as_they_were_written(frames: list[tuple[Kind, int, list[bytes]]], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(kind, number, *parts) for kind, number, parts in frames)
    reader, place = FrameReader(), 0
    read: list[Frame] = []
    for step in cuts * (len(stream) + 1):
        read += reader.feed(stream[place : place + step])
        place += step
        if place >= len(stream):
            break

    assert [(frame.kind, frame.number, list(frame.parts)) for frame in read] == frames


def test_a_broker_queue_keeps_all_its_properties() -> None:
    for queue in (COMMANDS, worker_queue("w")):
        assert unpack_queue(pack_queue(queue)) == queue
