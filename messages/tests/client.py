#!/usr/bin/env python3
"""Asks a running server as the users' test client does: by HTTPS, trusting the one certificate that it is given.

    client.py URL CERTIFICATE

Run it by `make messages-test`.
"""

import concurrent.futures
import hashlib
import secrets
import sys

import requests

URL, CERTIFICATE = sys.argv[1:]


def digest_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, wanted {wanted!r}")


def answer(response):
    return response.status_code, response.json(), response.headers["Content-Type"]


def missing(digest):
    return 404, {"err_msg": f"Message not found for hash: {digest}"}, "application/json"


def main():
    session = requests.Session()
    session.verify = CERTIFICATE
    # REQUESTS_CA_BUNDLE of the environment would win over it.
    session.trust_env = False
    for text in ["foo", "", "größer 🚢", '\0\n"\\', "x" * (1 << 20), secrets.token_hex()]:
        digest = digest_of(text)
        at = f"{URL}/messages/{digest}"
        session.delete(at)
        stored = {"digest": digest}
        check("GET before", answer(session.get(at)), missing(digest))
        check("POST", answer(session.post(f"{URL}/messages", json={"message": text})), (201, stored, "application/json"))
        check("POST again", answer(session.post(f"{URL}/messages", json={"message": text})), (200, stored, "application/json"))
        check("GET", answer(session.get(at)), (200, {"message": text}, "application/json"))
        check("DELETE", answer(session.delete(at)), (200, {"message_deleted": digest}, "application/json"))
        check("DELETE again", answer(session.delete(at)), missing(digest))
        check("GET after", answer(session.get(at)), missing(digest))
    check("a malformed digest", answer(session.get(f"{URL}/messages/aaaa")), missing("aaaa"))

    # Python writes a lone surrogate as an escape, and no UTF-8 has it.
    for body in ['{"message": "\\ud800"}', '{"message": 1}', '{"massage": "foo"}', "{", ""]:
        refused = session.post(f"{URL}/messages", data=body, headers={"Content-Type": "application/json"})
        check(f"POST of {body!r}", (refused.status_code, "err_msg" in refused.json()), (400, True))
    refused = session.post(f"{URL}/messages", data={"message": "foo"})
    check("POST of a form", (refused.status_code, "err_msg" in refused.json()), (415, True))
    refused = session.post(f"{URL}/messages", json={"message": "x" * ((1 << 20) + 1)})
    check("POST of too much", (refused.status_code, "err_msg" in refused.json()), (413, True))

    text = secrets.token_hex()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        posts = [pool.submit(requests.post, f"{URL}/messages", json={"message": text}, verify=CERTIFICATE) for _ in range(64)]
        statuses = sorted(post.result().status_code for post in posts)
    check("64 POSTs at once", statuses, [200] * 63 + [201])
    session.delete(f"{URL}/messages/{digest_of(text)}")

    try:
        requests.get(f"{URL}/healthz", timeout=10)
        sys.exit("a client that trusts the system's authorities alone was answered")
    except requests.exceptions.SSLError:
        pass
    print(f"requests {requests.__version__}: all answers are right")


if __name__ == "__main__":
    main()
