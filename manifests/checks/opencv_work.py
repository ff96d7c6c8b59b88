"""OpenCV finds edges and circles, and writes a video that it can read back."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import cv2
    import numpy as np

    picture = np.zeros((200, 200, 3), np.uint8)
    cv2.circle(picture, (120, 80), 40, (255, 255, 255), -1)
    edges = cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 100, 200)
    outlines, _ = cv2.findContours(edges, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    (x, y), radius = cv2.minEnclosingCircle(max(outlines, key=len))
    if not (abs(x - 120) < 2 and abs(y - 80) < 2 and abs(radius - 40) < 3):
        raise AssertionError(f"a circle at {x:.0f},{y:.0f} of {radius:.0f}")
    writer = cv2.VideoWriter("film.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (200, 200))
    for step in range(5):
        writer.write(np.roll(picture, step * 10, axis=1))
    writer.release()
    film, frames = cv2.VideoCapture("film.avi"), 0
    while film.read()[0]:
        frames += 1
    if frames != 5:
        raise AssertionError(f"{frames} of 5 frames read back")
    return {"radius": round(float(radius), 1), "frames": frames}


if __name__ == "__main__":
    run_check(__file__, check)
