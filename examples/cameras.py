"""Three cameras push frames, and a detector that is slower than they are sees the latest ones.

    python -m examples.cameras

The cameras are threads of this program, the detector is a process of its own; neither knows of an event loop.
The images are photographs of scikit-image, over which each camera pans. The detector's buffer holds a few
frames and drops the oldest: what it sees is fresh, and what it missed is counted.

The exit code is 0 only if every frame that was sent was seen or counted as dropped.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import skimage.data

from tidings.nats.server import NatsServer
from tidings.pubsub import PubSubBackend, Topic, pubsub
from tidings.pubsub.data import BytesData, Data, SensorData

CAMERAS = {"north": "astronaut", "east": "coffee", "south": "rocket"}
CONTROL = Topic("intersection-7.control")
PATIENCE = 30.0  # seconds
# Frames that wait for the detector; more would only be older when it sees them.
BUFFER = 4


class Camera(threading.Thread):
    """Publishes frames at a steady rate, as a driver would that gets them from a device."""

    def __init__(self, backend: PubSubBackend, name: str, frames: int, rate: float) -> None:
        super().__init__(name=name)
        self.seconds = 0.0
        self._backend = backend
        self._frames = frames
        self._rate = rate
        self._photograph: Any = getattr(skimage.data, CAMERAS[name])()

    def run(self) -> None:
        topic = Topic(f"intersection-7.{self.name}")
        clock, start = threading.Event(), time.monotonic()
        for number in range(self._frames):
            image = np.roll(self._photograph, 8 * number, axis=1)
            frame = SensorData(sensor_name=self.name, frame_id=number, payload=image)
            self._backend.publish(topic, frame.serialize())
            clock.wait(max(start + (number + 1) / self._rate - time.monotonic(), 0))
        self.seconds = time.monotonic() - start


def edges(image: Any) -> int:
    """How many pixels differ much from the one beside them."""
    grey = image.mean(axis=2)
    return int((np.abs(np.diff(grey, axis=1)) > 32).sum())


def detect(url: str, inference: float) -> None:
    """The detector: tells when it is ready, and at the end what it saw."""
    seen: Counter[str] = Counter()
    found: Counter[str] = Counter()
    oldest = 0.0
    with pubsub(url, buffer_messages=BUFFER, buffer_policy="drop_oldest") as backend:
        for name in CAMERAS:
            backend.subscribe(Topic(f"intersection-7.{name}"))
        backend.subscribe(CONTROL)
        print("ready", flush=True)
        model = threading.Event()
        for message in backend.listen(timeout=PATIENCE):
            frame = Data.deserialize(message)
            if not isinstance(frame, SensorData):
                break
            oldest = max(oldest, time.time() - frame.capture_time)
            seen[frame.sensor_name] += 1
            found[frame.sensor_name] += edges(frame.payload)
            model.wait(inference)  # what a larger model would take
        counters = backend.counters
    report = {
        "seen": seen,
        "edges": found,
        "received": counters.received - 1,  # the last one said that it was the last
        "dropped": counters.dropped,
        "oldest": oldest,
    }
    print(json.dumps(report), flush=True)


def run(frames: int, rate: float, inference: float) -> bool:
    """Run the cameras beside a detector and say what became of the frames; True if none was lost untold."""
    with NatsServer(jetstream=False) as server:
        command = [sys.executable, "-m", "examples.cameras", "--detect", server.url]
        with subprocess.Popen(
            [*command, "--inference", str(inference)], stdout=subprocess.PIPE, text=True
        ) as detector:
            assert detector.stdout is not None
            detector.stdout.readline()  # it is ready
            with pubsub(server.url) as backend:
                cameras = [Camera(backend, name, frames, rate) for name in CAMERAS]
                for camera in cameras:
                    camera.start()
                for camera in cameras:
                    camera.join()
                backend.publish(CONTROL, BytesData(b"the end").serialize())
            report = json.loads(detector.stdout.readline() or "null")
    if report is None:
        print("the detector ended early", file=sys.stderr)
        return False
    for camera in cameras:
        seen = report["seen"].get(camera.name, 0)
        found = report["edges"].get(camera.name, 0) // max(seen, 1)
        print(
            f"{camera.name:6} sent {frames:4} at {frames / camera.seconds:5.1f}/s, "
            f"seen {seen:4}, dropped {frames - seen:4}, {found:6} edges a frame"
        )
    sent, seen = frames * len(cameras), sum(report["seen"].values())
    print(
        f"in all sent {sent}, seen {seen}, dropped {report['dropped']} by the policy; "
        f"the oldest frame was {1000 * report['oldest']:.0f} ms old when it was seen"
    )
    return bool(sent == report["received"] == seen + report["dropped"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="cameras", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=60, help="of each camera (60)")
    parser.add_argument("--rate", type=float, default=30.0, help="frames a second of each camera (30)")
    parser.add_argument("--inference", type=float, default=0.03, help="seconds that the model takes (0.03)")
    parser.add_argument("--detect", metavar="URL", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.detect:
        detect(asked.detect, asked.inference)
        return 0
    return 0 if run(asked.frames, asked.rate, asked.inference) else 1


if __name__ == "__main__":
    sys.exit(main())
