"""Programs called az, aws and gcloud that know the commands DSVM uses, check every call, and keep a cloud in a file.

The grammars were compared with azure-cli 2.91's and awscli 1.46's own parsers and gcloud's reference. An unknown
command or option, one that is missing, or a value of another form ends with exit code 2, as it does there.
"""

from __future__ import annotations

import json
import os
import re
import sys

# A program that starts a thousand times loads no more than it must: not pathlib, nor typing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
FILE = "(file)"
TAGS_AZ = r"[\w.-]+=.*"
REGION = r"[a-z]{2}-[a-z]+-\d"
JSON = "(json)"
IMAGE_ID = r"ami-[0-9a-f]+"

# Command -> option -> form of its value; "?" before it: may be left out, "*" : several values, "" : a flag
AZ_VERSION = {"--resource-group": NAME, "--gallery-name": r"[\w.]+", "--gallery-image-definition": NAME}
AZ_BLOB = {"--account-name": "[a-z0-9]{3,24}", "--auth-mode": "login|key", "--container-name": "[a-z0-9-]+"}
GRAMMAR: dict[str, dict[str, dict[str, str]]] = {
    "az": {
        "account show": {},
        "image show": {"--resource-group": NAME, "--name": NAME},
        "image delete": {"--resource-group": NAME, "--name": NAME},
        "image create": {
            "--resource-group": NAME,
            "--name": NAME,
            "--source": r"https://.*\.vhd|/subscriptions/.*",
            "--location": "?[a-z0-9]+",
            "--os-type": "?Linux|Windows",
            "--hyper-v-generation": "?V1|V2",
            "--tags": f"*?{TAGS_AZ}",
        },
        "sig show": {"--resource-group": NAME, "--gallery-name": r"[\w.]+"},
        "sig image-definition show": AZ_VERSION,
        "sig image-definition delete": AZ_VERSION,
        "sig image-definition create": {
            **AZ_VERSION,
            "--publisher": NAME,
            "--offer": NAME,
            "--sku": NAME,
            "--os-type": "Linux|Windows",
            "--os-state": "?Generalized|Specialized",
            "--hyper-v-generation": "?V1|V2",
            "--location": "?[a-z0-9]+",
            "--architecture": "?x64|Arm64",
            "--features": r"*?\w+=\w+",
            "--description": "?.+",
        },
        "sig image-version show": {**AZ_VERSION, "--gallery-image-version": r"\d+\.\d+\.\d+"},
        "sig image-version delete": {**AZ_VERSION, "--gallery-image-version": r"\d+\.\d+\.\d+"},
        "sig image-version list": AZ_VERSION,
        "sig image-version create": {
            **AZ_VERSION,
            "--gallery-image-version": r"\d+\.\d+\.\d+",
            "--location": "?[a-z0-9]+",
            "--tags": f"*?{TAGS_AZ}",
            "--managed-image": "?/subscriptions/.*",
            "--os-vhd-uri": r"?https://.*\.vhd",
            "--os-vhd-storage-account": "?/subscriptions/.*",
            "--end-of-life-date": r"?\d{4}-\d\d-\d\dT[\d:]+Z",
            "--target-regions": r"*?[a-z0-9]+=\d+=(standard_lrs|standard_zrs|premium_lrs)",
        },
        "storage account list": {},
        "storage container create": {**{k: v for k, v in AZ_BLOB.items() if k != "--container-name"}, "--name": NAME},
        "storage blob upload": {
            **AZ_BLOB,
            "--name": NAME,
            "--file": FILE,
            "--type": "page|block|append",
            "--overwrite": "?true|false",
            "--no-progress": "?",
        },
        "storage blob delete": {**AZ_BLOB, "--name": NAME},
    },
    "aws": {
        "sts get-caller-identity": {},
        "ec2 describe-images": {
            "--owners": "?self|\\d{12}",
            "--filters": r"*?Name=[\w:-]+,Values=.+",
            "--image-ids": f"*?{IMAGE_ID}",
        },
        "ec2 import-snapshot": {
            "--role-name": "?.+",
            "--description": "?.+",
            "--disk-container": JSON,
            "--tag-specifications": f"?{JSON}",
            "--encrypted": "?",
        },
        "ec2 wait snapshot-imported": {"--import-task-ids": "*import-snap-[0-9a-f]+"},
        "ec2 wait image-available": {"--image-ids": f"*{IMAGE_ID}"},
        "ec2 describe-import-snapshot-tasks": {"--import-task-ids": "*import-snap-[0-9a-f]+"},
        "ec2 cancel-import-task": {"--import-task-id": "import-snap-[0-9a-f]+"},
        "ec2 register-image": {
            "--name": r"[\w().\-/]{3,128}",
            "--description": "?.{0,255}",
            "--architecture": "?x86_64|arm64",
            "--virtualization-type": "?hvm",
            "--ena-support": "?",
            "--boot-mode": "?uefi|legacy-bios|uefi-preferred",
            "--imds-support": r"?v2\.0",
            "--root-device-name": "?/dev/\\w+",
            "--block-device-mappings": f"?{JSON}",
        },
        "ec2 copy-image": {
            "--source-image-id": IMAGE_ID,
            "--source-region": REGION,
            "--name": r"[\w().\-/]{3,128}",
            "--description": "?.{0,255}",
            "--encrypted": "?",
        },
        "ec2 create-tags": {"--resources": r"*(ami|snap)-[0-9a-f]+", "--tags": JSON},
        "ec2 enable-image-deprecation": {"--image-id": IMAGE_ID, "--deprecate-at": r"\d{4}-\d\d-\d\dT[\d:]+Z"},
        "ec2 modify-image-attribute": {"--image-id": IMAGE_ID, "--launch-permission": JSON},
        "ec2 deregister-image": {"--image-id": IMAGE_ID},
        "ec2 delete-snapshot": {"--snapshot-id": "snap-[0-9a-f]+"},
        "s3 cp": {"0": FILE, "1": r"s3://[a-z0-9.-]+/.+", "--only-show-errors": "?"},
        "s3 rm": {"0": r"s3://[a-z0-9.-]+/.+", "--only-show-errors": "?"},
    },
    "gcloud": {
        "auth list": {"--filter": "?.+"},
        "compute images list": {"--filter": "?.+", "--no-standard-images": "?", "--show-deprecated": "?"},
        "compute images create": {
            "0": "[a-z]([-a-z0-9]{0,61}[a-z0-9])?",
            "--source-uri": r"?gs://.+\.tar\.gz",
            "--source-image": "?[a-z].*",
            "--family": "?[a-z][-a-z0-9]*",
            "--description": "?.+",
            "--architecture": "?X86_64|ARM64",
            "--guest-os-features": r"?[A-Z_]+(,[A-Z_]+)*",
            "--storage-location": "?[a-z0-9-]+",
            "--labels": r"?[a-z][a-z0-9_-]*=[a-z0-9_-]{0,63}(,[a-z][a-z0-9_-]*=[a-z0-9_-]{0,63})*",
        },
        "compute images delete": {"0": "[a-z][-a-z0-9]*"},
        "compute images deprecate": {
            "0": "[a-z][-a-z0-9]*",
            "--state": "ACTIVE|DEPRECATED|OBSOLETE|DELETED",
            "--replacement": "?[a-z].*",
        },
        "storage cp": {"0": FILE, "1": "gs://.+"},
        "storage rm": {"0": "gs://.+"},
    },
}
ALWAYS = {
    "az": {"--only-show-errors": "?", "--output": "?json", "--subscription": "?.+"},
    "aws": {"--output": "?json", "--region": REGION},
    "gcloud": {"--project": "?[a-z][a-z0-9-]+", "--quiet": "?", "--format": "?json"},
}


def install(folder: Path, state: Path) -> None:
    """Put the programs into `folder`, with the cloud that `state` holds."""
    folder.mkdir(exist_ok=True)
    # as a module Python need not compile it for every call
    code = f"import sys; sys.path.append({os.path.dirname(__file__)!r}); import fake_cloud; fake_cloud.main()"
    for name in GRAMMAR:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S -c "{code}" "{state}" {name} "$@"\n')
        program.chmod(0o755)


class Bad(Exception):
    """The call is none that this program takes."""


def parse(program: str, words: list[str]) -> tuple[str, dict[str, Any]]:
    """Command and options of a call; positional arguments are under their number. Raises Bad."""
    plain = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    command = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[: min(n, plain)]) in GRAMMAR[program]), None)
    command = command if command in GRAMMAR[program] else " ".join(words[: min(3, plain)])
    if command not in GRAMMAR[program]:
        raise Bad(f"no such command: {' '.join(words[:3])}")
    forms = {**GRAMMAR[program][command], **ALWAYS[program]}
    found: dict[str, Any] = {}
    rest = words[len(command.split()) :]
    position = 0
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            name, values = str(position), [word]
            position += 1
        else:
            name, values = word, []
            while rest and not rest[0].startswith("--"):
                values.append(rest.pop(0))
        form = forms.get(name)
        if form is None:
            raise Bad(f"{command}: unrecognized argument {name}")
        many, form = form.startswith("*"), form.lstrip("*").removeprefix("?")
        if form and len(values) != 1 and not many:
            # what belongs to nothing is an argument by its place
            for extra in values[1:]:
                found[str(position)] = extra
                position += 1
            values = values[:1]
        if name in found or (form and not values) or (not form and values):
            raise Bad(f"{command}: {name}: {values}")
        found[name] = [check(command, name, form, value) for value in values] if many else None
        if not many:
            found[name] = check(command, name, form, values[0]) if values else True
    missing = [name for name, form in forms.items() if "?" not in form[:2] and name not in found]
    if missing:
        raise Bad(f"{command}: required: {', '.join(missing)}")
    return command, found


def check(command: str, name: str, form: str, value: str) -> Any:
    if form == FILE:
        if not os.path.isfile(value):
            raise Bad(f"{command}: {name}: {value}: no such file")
        return value
    if form == JSON:
        try:
            return json.loads(value)
        except ValueError as error:
            raise Bad(f"{command}: {name}: {error}") from error
    if not re.fullmatch(form, value):
        raise Bad(f"{command}: {name}: '{value}' is not {form}")
    return value


class Cloud:
    """What a provider has, in a JSON file; each answer is what its program prints."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.data: dict[str, Any] = {}
        if os.path.isfile(path):
            with open(path) as file:
                self.data = json.load(file)
        self.things: dict[str, Any] = self.data.setdefault("things", {})
        self.data.setdefault("calls", [])

    def save(self) -> None:
        with open(self.path, "w") as file:
            file.write(json.dumps(self.data, indent=1))

    def number(self) -> str:
        self.data["next"] = self.data.get("next", 0) + 1
        return f"{self.data['next']:08x}"

    def named(self, kind: str) -> Iterator[tuple[str, Any]]:
        for key, value in list(self.things.items()):
            if key.startswith(f"{kind} "):
                yield key.removeprefix(f"{kind} "), value

    # --- az ---

    def az(self, command: str, given: dict[str, Any]) -> Any:
        name = given.get("--name", "")
        definition = given.get("--gallery-image-definition", "")
        version = f"{definition} {given.get('--gallery-image-version', '')}"
        match command:
            case "account show":
                return {"user": {"name": "somebody"}}
            case "sig show":
                return self.show("gallery", given["--gallery-name"])
            case "storage account list":
                return [{"name": key, **one} for key, one in self.named("account")]
            case "storage container create":
                self.things[f"container {name}"] = {}
                return {"created": True}
            case "storage blob upload":
                self.things[f"blob {name}"] = {"size": os.stat(given["--file"]).st_size}
                return {"etag": "x"}
            case "storage blob delete":
                return self.remove("blob", name)
            case "image show":
                return self.show("image", name)
            case "image create":
                blob = given["--source"].rsplit("/", 1)[1]
                assert f"blob {blob}" in self.things, blob
                return self.put("image", name, given)
            case "image delete":
                return self.remove("image", name)
            case "sig image-definition show":
                return self.show("definition", definition)
            case "sig image-definition create":
                return self.put("definition", definition, given)
            case "sig image-definition delete":
                assert not [one for one, _ in self.named("version") if one.startswith(f"{definition} ")]
                return self.remove("definition", definition)
            case "sig image-version show":
                return self.show("version", version)
            case "sig image-version list":
                return [one for key, one in self.named("version") if key.startswith(f"{definition} ")]
            case "sig image-version delete":
                return self.remove("version", version)
            case "sig image-version create":
                assert f"definition {definition}" in self.things
                assert ("--managed-image" in given) != ("--os-vhd-uri" in given)
                assert ("--os-vhd-uri" in given) == ("--os-vhd-storage-account" in given)
                made = self.put("version", version, given)
                made["name"], made["provisioningState"] = given["--gallery-image-version"], "Succeeded"
                return made
        raise Bad(command)

    def put(self, kind: str, name: str, given: dict[str, Any]) -> Any:
        tags = dict(one.split("=", 1) for one in given.get("--tags", []))
        made = {"id": f"/subscriptions/s/{kind}/{name.replace(' ', '/')}", "name": name, "tags": tags, "given": given}
        self.things[f"{kind} {name}"] = made
        return made

    def show(self, kind: str, name: str) -> Any:
        if f"{kind} {name}" not in self.things:
            print(f"ERROR: (ResourceNotFound) {kind} {name}", file=sys.stderr)
            self.save()
            sys.exit(3)
        return self.things[f"{kind} {name}"]

    def remove(self, kind: str, name: str) -> None:
        self.things.pop(f"{kind} {name}", None)

    # --- aws ---

    def aws(self, command: str, given: dict[str, Any]) -> Any:
        region = given["--region"]
        match command:
            case "sts get-caller-identity":
                return {"Account": "123456789012"}
            case "s3 cp":
                self.things[f"object {given['1']}"] = {}
            case "s3 rm":
                self.remove("object", given["0"])
            case "ec2 describe-images":
                return {"Images": [one for _, one in self.named("ami") if self.fits(one, region, given)]}
            case "ec2 import-snapshot":
                bucket = given["--disk-container"]["UserBucket"]
                assert f"object s3://{bucket['S3Bucket']}/{bucket['S3Key']}" in self.things
                assert given["--disk-container"]["Format"] in ("VMDK", "VHD", "RAW")
                task = f"import-snap-{self.number()}"
                self.things[f"task {task}"] = f"snap-{self.number()}"
                return {"ImportTaskId": task}
            case "ec2 wait snapshot-imported":
                snapshot = self.things[f"task {given['--import-task-ids'][0]}"]
                self.things[f"snapshot {region} {snapshot}"] = {}
            case "ec2 describe-import-snapshot-tasks":
                snapshot = self.things[f"task {given['--import-task-ids'][0]}"]
                done = f"snapshot {region} {snapshot}" in self.things
                detail = {"Status": "completed", "SnapshotId": snapshot} if done else {"Status": "active"}
                return {"ImportSnapshotTasks": [{"SnapshotTaskDetail": detail}]}
            case "ec2 cancel-import-task":
                self.remove("task", given["--import-task-id"])
            case "ec2 register-image":
                snapshot = given["--block-device-mappings"][0]["Ebs"]["SnapshotId"]
                assert f"snapshot {region} {snapshot}" in self.things
                assert given["--root-device-name"] == given["--block-device-mappings"][0]["DeviceName"]
                return {"ImageId": self.ami(region, given["--name"], snapshot)}
            case "ec2 copy-image":
                assert f"ami {given['--source-region']} {given['--source-image-id']}" in self.things
                snapshot = f"snap-{self.number()}"
                self.things[f"snapshot {region} {snapshot}"] = {}
                return {"ImageId": self.ami(region, given["--name"], snapshot)}
            case "ec2 wait image-available":
                self.things[f"ami {region} {given['--image-ids'][0]}"]["State"] = "available"
            case "ec2 create-tags":
                for thing in given["--resources"]:
                    kind = "ami" if thing.startswith("ami-") else "snapshot"
                    self.things[f"{kind} {region} {thing}"]["Tags"] = given["--tags"]
            case "ec2 enable-image-deprecation":
                self.things[f"ami {region} {given['--image-id']}"]["DeprecationTime"] = given["--deprecate-at"]
            case "ec2 modify-image-attribute":
                added = given["--launch-permission"]["Add"]
                self.things[f"ami {region} {given['--image-id']}"]["Shared"] = [one["UserId"] for one in added]
            case "ec2 deregister-image":
                assert self.things.pop(f"ami {region} {given['--image-id']}")
            case "ec2 delete-snapshot":
                used = [one for _, one in self.named("ami") if given["--snapshot-id"] in json.dumps(one)]
                assert not used, "InvalidSnapshot.InUse"
                self.remove(f"snapshot {region}", given["--snapshot-id"])
        return None

    def ami(self, region: str, name: str, snapshot: str) -> str:
        assert not [one for _, one in self.named("ami") if (one["Name"], one["Region"]) == (name, region)]
        number = self.number()
        self.things[f"ami {region} ami-{number}"] = {
            "ImageId": f"ami-{number}",
            "Name": name,
            "Region": region,
            "State": "pending",
            "CreationDate": number,
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}],
        }
        return f"ami-{number}"

    def fits(self, image: Any, region: str, given: dict[str, Any]) -> bool:
        tags = {f"tag:{tag['Key']}": tag["Value"] for tag in image.get("Tags", [])}
        known = {"name": image["Name"], **tags}
        filters = [one.split(",Values=") for one in given.get("--filters", [])]
        wanted = {name.removeprefix("Name="): value for name, value in filters}
        return (
            image["Region"] == region
            and image["ImageId"] in given.get("--image-ids", [image["ImageId"]])
            and all(known.get(key) == value for key, value in wanted.items())
        )

    # --- gcloud ---

    def gcloud(self, command: str, given: dict[str, Any]) -> Any:
        match command:
            case "auth list":
                return [{"account": "somebody@example.com", "status": "ACTIVE"}]
            case "storage cp":
                self.things[f"object {given['1']}"] = {}
            case "storage rm":
                if self.things.pop(f"object {given['0']}", None) is None:
                    print("ERROR: The following URLs matched no objects or files", file=sys.stderr)
                    sys.exit(1)
            case "compute images list":
                key, value = given["--filter"].split("=")
                found = [one for _, one in self.named("image") if one[key] == value]
                return found if "--show-deprecated" in given else [one for one in found if "deprecated" not in one]
            case "compute images create":
                assert ("--source-uri" in given) != ("--source-image" in given)
                assert "--source-uri" not in given or f"object {given['--source-uri']}" in self.things
                assert f"image {given['0']}" not in self.things
                labels = dict(one.split("=") for one in given["--labels"].split(","))
                made = {"name": given["0"], "family": given["--family"], "labels": labels, "status": "READY"}
                self.things[f"image {given['0']}"] = {**made, "creationTimestamp": self.number()}
                return [made]
            case "compute images delete":
                assert self.things.pop(f"image {given['0']}")
            case "compute images deprecate":
                self.things[f"image {given['0']}"]["deprecated"] = {"state": given["--state"]}
        return []


def main() -> None:
    os.umask(0o022)
    state, program, *words = sys.argv[1:]
    cloud = Cloud(state)
    cloud.data["calls"].append([program, *words])
    try:
        command, given = parse(program, words)
    except Bad as error:
        cloud.data.setdefault("bad", []).append(str(error))
        cloud.save()
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)
    failing = cloud.data.get("failing", {})
    if command in failing and failing[command] != "after":
        cloud.save()
        print(failing[command], file=sys.stderr)
        sys.exit(1)
    try:
        answer = getattr(cloud, program)(command, given)
    except (AssertionError, KeyError) as error:
        cloud.data.setdefault("bad", []).append(f"{command}: {error!r}")
        cloud.save()
        raise
    cloud.save()
    if command in failing:
        print("it broke at the end", file=sys.stderr)
        sys.exit(1)
    if answer is not None:
        print(json.dumps(answer))
