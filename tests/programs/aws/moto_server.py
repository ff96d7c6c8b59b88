"""moto's EC2, S3 and STS on loopback, with what it does not know of imports: run by the Python that has moto.

Usage: moto_server.py FAILING. Prints its port. FAILING is a JSON file that tests write, action -> when: "before", and
it is refused; "after", and it is done, and the answer is lost; a state in which what it began ends, such as "error".

Played here, as AWS describes it: ImportSnapshot, DescribeImportSnapshotTasks, CancelImportTask and
EnableImageDeprecation, and that an image keeps the snapshot which it was registered with.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import AmiBackend
from moto.ec2.responses import EC2Response
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

FAILING = Path(sys.argv[1])


def failing(action: str) -> str:
    return str(json.loads(FAILING.read_text()).get(action, ""))


class Imports:
    """What this server adds to moto's EC2."""

    tasks: ClassVar[dict[str, dict[str, Any]]] = {}

    def import_snapshot(self: Any) -> ActionResult:
        container = self._get_param("DiskContainer")
        place = container["UserBucket"]
        bucket = s3_backends[self.current_account]["aws"].buckets.get(place["S3Bucket"])
        key = bucket.keys.get(place["S3Key"]) if bucket is not None else None
        if key is None:
            raise EC2ClientError("InvalidParameter", f"Disk validation failed: {place} is not there")
        if container["Format"] not in ("VMDK", "VHD", "RAW"):
            raise EC2ClientError("InvalidParameterValue", f"The value of parameter diskContainer.format: {container}")
        if not self._get_param("RoleName"):
            raise EC2ClientError("InvalidParameter", "The service role vmimport does not exist")
        number = f"import-snap-{len(self.tasks):017x}"
        task = {"ImportTaskId": number, "Description": self._get_param("Description")}
        self.tasks[number] = {**task}
        detail = {"Status": "active", "Progress": "3", "StatusMessage": "pending"}
        return ActionResult({**task, "SnapshotTaskDetail": detail})

    def describe_import_snapshot_tasks(self: Any) -> ActionResult:
        told = []
        for number in self._get_param("ImportTaskIds"):
            if number not in self.tasks:
                raise EC2ClientError("InvalidConversionTaskId.Malformed", f"Tasks not found: {number}")
            task = self.tasks[number]
            if task.get("cancelled"):
                detail = {"Status": "deleted"}
            elif state := failing("ImportSnapshot"):
                detail = {"Status": state, "StatusMessage": "ClientError: Disk validation failed"}
            else:
                if "snapshot" not in task:
                    volume = self.ec2_backend.create_volume(size=1, zone_name=f"{self.region}a")
                    task["snapshot"] = self.ec2_backend.create_snapshot(volume.id, task["Description"]).id
                    self.ec2_backend.delete_volume(volume.id)
                detail = {"Status": "completed", "SnapshotId": task["snapshot"]}
            told.append({"ImportTaskId": number, "SnapshotTaskDetail": detail})
        return ActionResult({"ImportSnapshotTasks": told})

    def cancel_import_task(self: Any) -> ActionResult:
        number = self._get_param("ImportTaskId")
        self.tasks[number]["cancelled"] = True
        return ActionResult({"ImportTaskId": number, "State": "deleted", "PreviousState": "active"})

    def enable_image_deprecation(self: Any) -> ActionResult:
        (image,) = self.ec2_backend.describe_images(ami_ids=[self._get_param("ImageId")])
        image.deprecation_time = self._get_param("DeprecateAt")
        return ActionResult({"Return": True})

    def register_image(self: Any) -> ActionResult:
        image = self.ec2_backend.register_image(self._get_param("Name"), self._get_param("Description", ""))
        (device,) = self._get_param("BlockDeviceMappings")
        snapshots = self.ec2_backend.describe_snapshots([device["Ebs"]["SnapshotId"]])  # raises for what is not there
        del self.ec2_backend.snapshots[image.ebs_snapshot.id]
        image.ebs_snapshot = snapshots[0]
        image.architecture = self._get_param("Architecture")
        return ActionResult({"ImageId": image.id})


for name, function in vars(Imports).items():
    if callable(function):
        setattr(EC2Response, name, function)
EC2Response.tasks = Imports.tasks
# an account without the images that moto begins with, so that what is there is what a test has made
AmiBackend._load_amis = lambda self: None

Start = Callable[..., Any]


class Faults:
    """Refuses actions, or loses their answers."""

    def __init__(self, app: Callable[[dict[str, Any], Start], Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
        action = action or {"PUT": "PutObject", "DELETE": "DeleteObject"}.get(environ["REQUEST_METHOD"], "")
        how = failing(action)
        if how == "after":
            for _ in self.app(environ, lambda *words: None):
                pass
        if how in ("before", "after"):
            start("400 Bad Request", [("Content-Type", "text/xml")])
            error = "<Code>Broken</Code><Message>it broke</Message>"
            return [f"<Response><Errors><Error>{error}</Error></Errors><RequestID>1</RequestID></Response>".encode()]
        return self.app(environ, start)


class Quiet(WSGIRequestHandler):  # type: ignore[misc]
    def log(self, *words: Any) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, Faults(DomainDispatcherApplication(create_backend_app)), True, 1, Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()
