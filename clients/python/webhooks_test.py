"""Runs the receiver of docs/webhooks.md and sends it messages, right ones and forged ones.

Expects the binary at RATES, and the database of a server that has migrated it.
"""

import datetime
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

from standardwebhooks.webhooks import Webhook

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "webhooks.md"
ALLOWED = {"RATES__HOOKS__ALLOW_HTTP": "true", "RATES__HOOKS__ALLOW_PRIVATE_ADDRESSES": "true"}


def rates(*arguments):
    command = [os.environ["RATES"], "hook", *arguments]
    return subprocess.run(command, env=os.environ | ALLOWED, check=True, stdout=subprocess.PIPE, text=True).stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Example(unittest.TestCase):
    def setUp(self):
        self.port = free_port()
        self.secret = rates("add", f"http://127.0.0.1:{self.port}/").strip()
        self.number = rates("list").splitlines()[-1].split()[0]
        self.addCleanup(rates, "remove", self.number)
        code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
        environment = os.environ | {"WEBHOOK_SECRET": self.secret, "PORT": str(self.port)}
        self.receiver = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.receiver.stdout.close)
        self.addCleanup(self.receiver.wait)
        self.addCleanup(self.receiver.kill)
        for _ in range(100):
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.fail("the receiver does not start")

    def forge(self, secret, age):
        sent = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age)
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(sent.timestamp()))}
        headers["webhook-signature"] = Webhook(secret).sign("msg_1", sent, '{"type":"test","data":{}}')
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", b'{"type":"test","data":{}}', headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def test_it_takes_what_is_signed_with_its_secret_and_refuses_the_rest(self):
        sent = rates("test", self.number)
        received = self.receiver.stdout.readline().split()
        self.assertEqual(received[1], "test")
        self.assertIn(received[0], sent)
        self.assertEqual(self.forge(self.secret, age=0), 204)
        self.assertEqual(self.forge(self.secret, age=3600), 401)
        self.assertEqual(self.forge("whsec_" + "A" * 44, age=0), 401)


if __name__ == "__main__":
    unittest.main()
