"""tensorboard serves on loopback the curve that was written for it."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import json
    import sys
    import urllib.request

    from lib.process import free_port, running
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter("logs/run")
    for step in range(5):
        value = Summary.Value(tag="loss", simple_value=1 / (step + 1))
        writer.add_event(Event(wall_time=float(step), step=step, summary=Summary(value=[value])))
    writer.close()
    port = free_port()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def points() -> list[list[float]]:
        url = f"http://127.0.0.1:{port}/data/plugin/scalars/scalars?run=run&tag=loss"
        with opener.open(url, timeout=10) as answer:
            return json.load(answer)

    argv = [sys.executable, "-m", "tensorboard.main", "--logdir", "logs", "--host", "127.0.0.1", "--port", str(port)]
    with running(argv, ready=points, timeout=120):
        found = points()
    if not (len(found) == 5 and abs(found[-1][2] - 0.2) < 1e-6):
        raise AssertionError(f"points {found}")
    return {"points": len(found)}


if __name__ == "__main__":
    run_check(__file__, check)
