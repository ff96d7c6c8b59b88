"""Fetch a page of Jupyter's server as somebody who is logged in; argv are its port and the path.

Prints {"status", "type", "text"} of the answer as JSON.
"""

import http.client
import json
import os
import sys

port, path = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
connection.request("GET", path, headers={"Authorization": f"token {os.environ['DSVM_TOKEN']}"})
answer = connection.getresponse()
text = answer.read().decode("utf-8", "replace")
print(json.dumps({"status": answer.status, "type": answer.headers.get("Content-Type", ""), "text": text}))
