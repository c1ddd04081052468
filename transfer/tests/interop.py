"""transfer with the programs whose protocol it speaks: each side with the other's original. Usage: interop.py BINARY"""

import atexit
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from xml.parsers.expat import ExpatError

import original
import requests
from cryptography.fernet import Fernet, MultiFernet

BINARY = sys.argv[1]
HERE = pathlib.Path(__file__).parent
PATIENCE = 30

DOCUMENTS = {
    "nested": {"a": {"b": [1, [2, [3, []], {}], {"c": [{"d": None}]}]}, "e": [[], [[]]]},
    "empty": {"o": {}, "l": [], "s": "", "n": None},
    "numbers": [0, -0, 1, -5, 10**30, -(10**19), 1.0, -0.0, 0.1, 1e15, 1e16, 1.5e16, 1e22, 1.5e300, 1e-4, 1e-5, 1.5e-7, 5e-324],
    "special": {"a": float("nan"), "b": float("inf"), "c": float("-inf")},
    "flags": {"yes": True, "no": False, "list": [True, False, None]},
    "unicode": {"Zürich": "東京 🚢 é", "emoji🚢": 1, "日本": [1], "ключ": "Привет", "e\u0301": 2, "\u0301e": 3},
    "keys": {
        "1 bad": 1, "12": 2, "1x": 3, "a b": 4, " lead": 5, "trail ": 6, "tab\t": 7, "in\tside": 8, "": 9, "a:b": 10,
        "xml:lang": 11, "xmlns": 12, "xml": 13, "-a": 14, "a-b.c_d": 15, "a<b": 16, "a&b": 17, 'q"q': 18, "q'q": 19,
        "a>b": 20, "a/b": 21, "@id": 22, "#text": 23, "x\ny": 24, "x\r\ny": 25, "²": 26, "３": 27, "١٢": [28], "_": 29,
        "12 list": [1], "4": {"5": {}}, "bad key!": {"x": [1]}, "a  b ": 30, "&lt;": 31, "xml:": 32, ":": 33,
    },
    "text": {"a": "<&>\"'", "b": "line\nline\r\nline\rline\ttab ", "c": "  ", "d": "\n", "e": "&amp;", "f": "]]>"},
    "prices": {"prices": [{"orig_code": "CNGGZ", "dest_code": "EETLL", "day": "2021-01-01", "price": 1234}]},
}


def wait(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Place:
    """Folders, a key and a port."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.port = folder, free_port()
        self.input, self.output = folder / "input", folder / "output"
        for made in (self.input, self.output):
            made.mkdir(parents=True)
        self.key = Fernet.generate_key()
        self.log = (folder / "log").open("w")
        (folder / "key").write_bytes(self.key + b"\n")

    def environment(self):
        return {
            "PATH": os.environ["PATH"], "SERVER_IP": "127.0.0.1", "SERVER_PORT": str(self.port), "LOG_LEVEL": "WARNING",
            "OUTPUT_DIR": str(self.output), "DECRYPTION_KEY": str(self.folder / "key"),
            "INPUT_DIR": str(self.input), "ENCRYPTION_KEY": str(self.folder / "key"), "SCAN_INTERVAL": "1",
            "STATUS_DB_PATH": str(self.folder / "status.db"), "RECEIVER_ADDRESS": "127.0.0.1",
            "RECEIVER_PORT": str(self.port), "RECEIVER_URI": "/upload", "TRANSFER__SERVER__METRICS_PORT": "0",
            "TRANSFER__SEND__SETTLE_SECONDS": "0", "TRANSFER__SEND__REJECT_AFTER_SECONDS": "0",
        }

    def start(self, *command):
        process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL, stderr=self.log)
        atexit.register(process.kill)
        return process

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def is_healthy(self):
        try:
            return requests.get(self.url("/"), timeout=5)
        except requests.ConnectionError:
            return None

    def ours(self, command):
        return self.start(BINARY, command)

    def originals(self, command):
        return self.start(sys.executable, HERE / "original.py", command)

    def write(self, documents):
        for name, document in documents.items():
            (self.input / f"{name}.json").write_text(json.dumps(document, ensure_ascii=name < "n"))

    def expect(self, documents):
        for name in documents:
            path = self.output / f"{name}.xml"
            wait(path, path.exists)
            expected = original.to_xml(self.input / f"{name}.json").encode()
            wait(f"{name}\n{path.read_bytes().decode()}\nis not\n{expected.decode()}", lambda: path.read_bytes() == expected)


def stop(process):
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE)


def our_receiver_takes_what_python_sends(place):
    receiver = place.ours("receive")
    answer = wait("a receiver", place.is_healthy)
    assert (answer.status_code, answer.text) == (200, '{"msg":"Server is healthy","status_code":200}'), answer.text
    place.write(DOCUMENTS)
    assert place.originals("send").wait(PATIENCE) == 0
    place.expect(DOCUMENTS)

    def post(name, token, field="file"):
        return requests.post(place.url(f"/upload/{name}"), files={field: token}, timeout=PATIENCE)

    token = Fernet(place.key).encrypt(b"<x/>")
    for _ in range(2):
        answer = post("a", token)
        path = place.output / "a.xml"
        expected = {"msg": f"File is decrypted and saved to {path}", "status_code": 201}
        assert (answer.status_code, answer.json()) == (201, expected), answer.text
    for wrong in (Fernet(Fernet.generate_key()).encrypt(b"<x/>"), token[:-4], b"", b"?"):
        answer = post("wrong", wrong)
        assert answer.status_code == answer.json()["status_code"] == 400 and answer.json()["msg"], answer.text
    assert not (place.output / "wrong.xml").exists()
    # A token of any size, as Python makes it.
    for size in (0, 15, 16, 17, 300_000, 3_000_000):
        content = random.Random(size).randbytes(size)
        assert post(f"size-{size}", Fernet(place.key).encrypt(content)).status_code == 201
        assert (place.output / f"size-{size}.xml").read_bytes() == content
    assert stop(receiver) == 0
    # New key first, the old one still read.
    new = Fernet.generate_key()
    (place.folder / "key").write_bytes(new + b"\n" + place.key)
    receiver = place.ours("receive")
    wait("a receiver", place.is_healthy)
    both = MultiFernet([Fernet(new), Fernet(place.key)])
    for number, made in enumerate((token, both.encrypt(b"<x/>"), both.rotate(token))):
        assert post(f"rotated-{number}", made).status_code == 201
    assert stop(receiver) == 0


def python_receives_what_our_sender_sends(place):
    receiver = place.originals("receive")
    wait("a receiver", place.is_healthy)
    sender = place.ours("send")
    place.write(DOCUMENTS)
    place.expect(DOCUMENTS)
    # A bad file blocks no other.
    (place.input / "bad.json").write_text("{")
    place.write({"good": [1]})
    place.expect({"good": [1]})
    wait("a reason", (place.input / "rejected/bad.json.reason.txt").exists)
    assert stop(sender) == 0
    receiver.kill()
    receiver.wait()


def documents_become_the_xml_of_json2xml(place):
    """Random documents, and characters of all kinds in keys: by our sender to our receiver."""
    chance = random.Random(14)
    characters = "abA1 _-.:\t\n\r<>&\"'/é東🚢²３\u0301;!=?\u00a0\u2028"

    def text(longest):
        return "".join(chance.choice(characters) for _ in range(chance.randrange(longest)))

    def value(depth):
        kind = chance.randrange(8 if depth < 4 else 6)
        if kind == 6:
            return [value(depth + 1) for _ in range(chance.randrange(4))]
        if kind == 7:
            return {text(5): value(depth + 1) for _ in range(chance.randrange(4))}
        return [None, True, chance.randrange(-(10**9), 10**25), chance.uniform(-1, 1) * 10.0 ** chance.randrange(-30, 30),
                text(10), chance.choice([0.1, 1e16, -2.5])][kind]

    documents = {f"random-{number}": [value(0), {text(5): value(0)}] for number in range(150)}
    # Of the long runs of letters that are alike (Chinese, Korean, private use) only some.
    codes = [*range(0x20, 0x4E10), *range(0x4E10, 0xD7A0, 61), *range(0xD7A0, 0xD800), *range(0xE000, 0xF900, 61),
             *range(0xF900, 0xFFFE), *range(0x10000, 0x20000, 97)]
    every = [chr(code) for code in codes]
    for number in range(0, len(every), 8000):
        # As the first character, and as a later one.
        some = every[number:number + 8000]
        documents[f"every-{number}"] = {key: 1 for c in some for key in (c, f"a{c}b")}
    documents |= {f"control-{code}": {"text": chr(code)} for code in (1, 8, 9, 11, 31, 127, 0x85, 0xFFFE, 0xFFFF)}
    documents["control-key"] = {"\x02": 1}
    place.write(documents)

    def can_convert(name):
        try:
            return original.to_xml(place.input / f"{name}.json")
        except (ExpatError, UnicodeEncodeError):
            return None

    receiver = place.ours("receive")
    wait("a receiver", place.is_healthy)
    code = subprocess.run([BINARY, "send", "--once"], env=place.environment(), timeout=PATIENCE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode
    answers = {name: can_convert(name) for name in documents if (place.input / f"{name}.json").exists()}
    rejected = sorted(path.name.split(".")[0] for path in (place.input / "rejected").glob("*.json"))
    for name in rejected:
        (place.input / "rejected" / f"{name}.json").rename(place.input / f"{name}.json")
    assert all(can_convert(name) is None for name in rejected), rejected
    assert len(rejected) == 7 and code == 65, (rejected, code)
    for name, expected in answers.items():
        assert expected is not None, name
        assert (place.output / f"{name}.xml").read_bytes() == expected.encode(), name
    print(f"  {len(documents)} documents, {len(rejected)} of them rejected by both")
    assert stop(receiver) == 0


def a_full_disk_stores_nothing_and_ends_nothing(place):
    script = f'mount -t tmpfs -o size=1m tmpfs "{place.output}" && exec "$0" receive'
    receiver = place.start("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, BINARY)
    wait("a receiver", lambda: place.is_healthy() or receiver.poll() is not None)
    if receiver.poll() is not None:
        print("  SKIPPED: this machine allows no mounts in namespaces", file=sys.stderr)
        return
    output = pathlib.Path(f"/proc/{receiver.pid}/root{place.output}")
    fernet = Fernet(place.key)

    def post(name, size):
        files = {"file": fernet.encrypt(random.Random(name).randbytes(size))}
        return requests.post(place.url(f"/upload/{name}"), files=files, timeout=PATIENCE)

    assert post("first", 100_000).status_code == 201
    # Too large for the disk as it arrives, and only when it is decrypted.
    for size in (3_000_000, 600_000):
        answer = post("large", size)
        assert answer.status_code == answer.json()["status_code"] == 507 and "disk is full" in answer.json()["msg"], answer.text
        assert [path.name for path in output.iterdir()] == ["first.xml"]
    assert post("second", 100_000).status_code == 201
    assert sorted(path.name for path in output.iterdir()) == ["first.xml", "second.xml"]
    assert stop(receiver) == 0


with tempfile.TemporaryDirectory() as folder:
    for test in (a_full_disk_stores_nothing_and_ends_nothing, our_receiver_takes_what_python_sends, python_receives_what_our_sender_sends,
                 documents_become_the_xml_of_json2xml):
        started = time.monotonic()
        test(Place(pathlib.Path(folder) / test.__name__))
        print(f"{test.__name__}: {time.monotonic() - started:.1f} s")
