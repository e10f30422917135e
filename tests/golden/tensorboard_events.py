"""The records of an event file as TensorBoard's own library writes them: `pip install tensorboard`, then run this."""

import io
import json
import pathlib

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

PNG = bytes(range(200))


def record(event):
    out = io.BytesIO()
    RecordWriter(out).write(event.SerializeToString())
    return out.getvalue().hex()


values = [
    Summary.Value(tag="train/loss", simple_value=0.125),
    Summary.Value(tag="train/memory", simple_value=3.5e9),
]
image = Summary.Image(height=64, width=300, colorspace=3, encoded_image_string=PNG)
golden = {
    "first": record(Event(wall_time=1700000000.25, file_version="brain.Event:2")),
    "scalars": record(Event(wall_time=1.5, step=300, summary=Summary(value=values))),
    "pictures": record(
        Event(
            wall_time=2.5,
            step=5000000000,
            summary=Summary(value=[Summary.Value(tag="samples/1: a ö", image=image)]),
        )
    ),
    "restart": record(Event(wall_time=3.5, step=51, session_log=SessionLog(status=SessionLog.START))),
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden, indent=2) + "\n")
