"""The pair of programs whose protocol transfer speaks: a Flask receiver and a requests sender, as short as they can be.

original.py receive    listens on SERVER_PORT and stores in OUTPUT_DIR, with the key in the file DECRYPTION_KEY
original.py send       sends INPUT_DIR once to RECEIVER_ADDRESS:RECEIVER_PORT/upload, with the key in ENCRYPTION_KEY
"""

import collections
import collections.abc
import os
import pathlib
import sys

collections.Iterable = collections.abc.Iterable

from cryptography.fernet import Fernet, InvalidToken  # noqa: E402
from json2xml import json2xml, utils  # noqa: E402


def to_xml(path: str) -> str:
    return json2xml.Json2xml(utils.readfromjson(path)).to_xml()


def receive() -> None:
    import flask

    app = flask.Flask(__name__)
    fernet = Fernet(pathlib.Path(os.environ["DECRYPTION_KEY"]).read_bytes().strip())
    output = os.environ["OUTPUT_DIR"]

    def answer(msg: str, status: int):
        return flask.jsonify(msg=msg, status_code=status), status

    @app.get("/")
    def health():
        return answer("Server is healthy", 200)

    @app.post("/upload/<filename>")
    def upload(filename: str):
        try:
            content = fernet.decrypt(flask.request.files["file"].read())
        except InvalidToken:
            return answer("File cannot be decrypted", 400)
        path = f"{output}/{filename}.xml"
        pathlib.Path(path).write_bytes(content)
        return answer(f"File is decrypted and saved to {path}", 201)

    app.run(host="127.0.0.1", port=int(os.environ["SERVER_PORT"]))


def send() -> None:
    import requests

    fernet = Fernet(pathlib.Path(os.environ["ENCRYPTION_KEY"]).read_bytes().strip())
    base = f"http://{os.environ['RECEIVER_ADDRESS']}:{os.environ['RECEIVER_PORT']}/upload"
    for path in sorted(pathlib.Path(os.environ["INPUT_DIR"]).glob("*.json")):
        name = path.name.split(".")[0]
        token = fernet.encrypt(to_xml(str(path)).encode())
        answer = requests.post(f"{base}/{name}", files={"file": token})
        print(answer.status_code, answer.text.strip())


if __name__ == "__main__":
    {"receive": receive, "send": send}[sys.argv[1]]()
