"""Signatures of each scheme: what vouches for a delivery, and what does not (A23)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Counterpart

from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.webhooks.signatures import (
    Algorithm,
    Key,
    Rejected,
    Scheme,
    Signing,
    Verdict,
    Verified,
    usual_header,
    usual_scheme,
    verify,
)
from tests.engine.webhooks.senders import AT, SECRET, hexadecimal, in_base64

VECTORS = Path(__file__).parents[4] / "shared" / "data" / "webhook-vectors"
BODY = b'{"id":"e1", "type":"PATIENT_UPDATED"} \n'
OLD = "the-secret-that-was-there-before-this-one"
ID, STAMP = "msg_1", str(int(AT.timestamp()))

Signer = Callable[[str, bytes, str], dict[str, str]]


def _standard(secret: str, body: bytes, algorithm: str) -> dict[str, str]:
    signature = in_base64(secret, f"{ID}.{STAMP}.".encode() + body, algorithm)
    return {"webhook-id": ID, "webhook-timestamp": STAMP, "webhook-signature": f"v1,{signature}"}


SIGNERS: dict[Scheme, Signer] = {
    Scheme.WEBHOOK_SIGNATURE: lambda s, b, a: {"x-webhook-signature": hexadecimal(s, b, a)},
    Scheme.STANDARD_WEBHOOKS: _standard,
    Scheme.HUB_SIGNATURE: lambda s, b, a: {"x-hub-signature": f"{a}={hexadecimal(s, b, a)}"},
    Scheme.HUB_SIGNATURE_256: lambda s, b, a: {"x-hub-signature-256": f"{a}={hexadecimal(s, b, a)}"},
    Scheme.SERVER_SIGNATURE: lambda s, b, a: {"x-server-signature": in_base64(s, b, a)},
}
EACH = pytest.mark.parametrize(
    ("scheme", "algorithm"), [(scheme, algorithm) for scheme in SIGNERS for algorithm in Algorithm]
)


def judged(
    scheme: Scheme, headers: dict[str, str], body: bytes, algorithm: Algorithm = Algorithm.SHA256, **at: float
) -> Verdict:
    signing = Signing(scheme, usual_header(scheme), algorithm)
    keys = [Key("current", SECRET), Key("previous", OLD)]
    return verify(signing, headers, body, keys, AT + timedelta(**at))


@EACH
def test_a23_a_good_signature_vouches_and_says_by_which_key(scheme: Scheme, algorithm: Algorithm) -> None:
    for secret, key_id in ((SECRET, "current"), (OLD, "previous")):
        verdict = judged(scheme, SIGNERS[scheme](secret, BODY, algorithm), BODY, algorithm)
        assert isinstance(verdict, Verified) and verdict.key_id == key_id


@EACH
def test_a23_a_body_that_was_parsed_and_written_again_is_another_body(scheme: Scheme, algorithm: Algorithm) -> None:
    again = json.dumps(json.loads(BODY)).encode()
    assert isinstance(judged(scheme, SIGNERS[scheme](SECRET, BODY, algorithm), again, algorithm), Rejected)
    assert isinstance(judged(scheme, SIGNERS[scheme](SECRET, BODY, algorithm), BODY.rstrip(), algorithm), Rejected)


@EACH
def test_a23_a_wrong_secret_or_a_signature_that_is_cut_or_missing_is_refused(
    scheme: Scheme, algorithm: Algorithm
) -> None:
    name = usual_header(scheme)
    good = SIGNERS[scheme](SECRET, BODY, algorithm)
    for bad in (
        SIGNERS[scheme]("another secret", BODY, algorithm),
        good | {name: good[name][:-4]},
        good | {name: good[name][: len(good[name]) // 2]},
        good | {name: ""},
        good | {name: "é" * 64},
        {key: value for key, value in good.items() if key != name},
    ):
        assert isinstance(judged(scheme, bad, BODY, algorithm), Rejected)


@EACH
def test_a23_the_other_algorithms_digest_is_refused_where_it_is_not_the_senders_to_choose(
    scheme: Scheme, algorithm: Algorithm
) -> None:
    other = Algorithm.SHA512 if algorithm is Algorithm.SHA256 else Algorithm.SHA256
    verdict = judged(scheme, SIGNERS[scheme](SECRET, BODY, other), BODY, algorithm)
    assert isinstance(verdict, Verified if scheme is Scheme.HUB_SIGNATURE else Rejected)


@pytest.mark.parametrize("method", ["sha1", "md5", "none", "SHA256", ""])
def test_a23_the_sender_cannot_choose_a_weak_method(method: str) -> None:
    digest = hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest()
    for scheme in (Scheme.HUB_SIGNATURE, Scheme.HUB_SIGNATURE_256):
        assert isinstance(judged(scheme, {usual_header(scheme): f"{method}={digest}"}, BODY), Rejected)


def test_a23_a_signed_time_counts_for_five_minutes_either_way() -> None:
    signed = _standard(SECRET, BODY, "sha256")
    for seconds, accepted in ((300, True), (-300, True), (301, False), (-301, False)):
        verdict = judged(Scheme.STANDARD_WEBHOOKS, signed, BODY, seconds=seconds)
        assert isinstance(verdict, Verified) is accepted
    assert judged(Scheme.STANDARD_WEBHOOKS, signed, BODY, seconds=301) == Rejected("signature.expired")


def test_a23_id_and_time_are_signed_and_neither_may_hold_a_dot() -> None:
    good = _standard(SECRET, BODY, "sha256")
    moved = in_base64(SECRET, f"msg.1.{STAMP}.".encode() + BODY)
    for bad in (
        good | {"webhook-id": "msg_2"},
        good | {"webhook-timestamp": str(int(STAMP) + 1)},
        good | {"webhook-id": "msg.1", "webhook-signature": f"v1,{moved}"},
        good | {"webhook-timestamp": "１２"},
        good | {"webhook-timestamp": "9" * 5000},
    ):
        assert isinstance(judged(Scheme.STANDARD_WEBHOOKS, bad, BODY), Rejected)


def test_a23_one_of_several_signatures_is_enough_and_what_is_not_v1_counts_for_nothing() -> None:
    good = _standard(SECRET, BODY, "sha256")
    one = good["webhook-signature"]
    assert isinstance(
        judged(Scheme.STANDARD_WEBHOOKS, good | {"webhook-signature": f"v1,AAAA v1a,xyz {one}"}, BODY), Verified
    )
    renamed = good | {"webhook-signature": one.replace("v1,", "v2,")}
    assert isinstance(judged(Scheme.STANDARD_WEBHOOKS, renamed, BODY), Rejected)


def test_a23_what_the_standard_webhooks_library_signs_is_accepted() -> None:
    secret = "whsec_" + base64.b64encode(b"thirty-two bytes of a good secret").decode()
    signature = Counterpart(secret).sign(ID, AT, BODY.decode())
    headers = {"webhook-id": ID, "webhook-timestamp": STAMP, "webhook-signature": signature}
    signing = Signing(Scheme.STANDARD_WEBHOOKS, "webhook-signature", Algorithm.SHA256)
    assert verify(signing, headers, BODY, [Key("current", secret)], AT) == Verified("current", ID)


def test_a23_the_example_of_athenahealth_is_accepted_byte_for_byte() -> None:
    if not VECTORS.is_dir():
        pytest.skip(f"the reference data is not there: {VECTORS}")
    [vector] = json.loads((VECTORS / "athenahealth.json").read_bytes())
    body = (VECTORS / vector["body_file"]).read_bytes()
    signing = Signing(usual_scheme(Provider.ATHENAHEALTH), "x-hub-signature", Algorithm.SHA256)
    keys, headers = [Key("current", vector["secret"])], {"x-hub-signature": vector["value"]}
    assert verify(signing, headers, body, keys, AT) == Verified("current")
    assert isinstance(verify(signing, headers, body.rstrip(), keys, AT), Rejected)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a23_the_vectors_of_rfc_4231_are_met(algorithm: Algorithm) -> None:
    file = VECTORS / f"rfc4231-{algorithm}.txt"
    if not file.exists():
        pytest.skip(f"the reference data is not there: {file}")
    found = re.findall(r"Key = (\S+)\n(?:#.*\n)*Msg = (\S+)\nMD = (\S+)", file.read_text())
    shown = 0
    for key, message, digest in found:
        try:
            secret = bytes.fromhex(key).decode("ascii")
        except UnicodeDecodeError:
            continue  # secrets are texts
        signing = Signing(Scheme.WEBHOOK_SIGNATURE, "x-webhook-signature", algorithm)
        verdict = verify(signing, {"x-webhook-signature": digest}, bytes.fromhex(message), [Key("current", secret)], AT)
        assert verdict == Verified("current")
        shown += 1
    assert shown >= 3


def test_a_bearer_secret_is_compared_whole() -> None:
    signing = Signing(Scheme.BEARER, "authorization", Algorithm.SHA256)
    for sent, accepted in (
        (f"Bearer {SECRET}", True),
        (f"bearer {SECRET}", True),
        (f"Bearer {SECRET[:-1]}", False),
        (SECRET, False),
        ("Basic " + SECRET, False),
    ):
        verdict = verify(signing, {"authorization": sent}, BODY, [Key("current", SECRET)], AT)
        assert isinstance(verdict, Verified) is accepted


def test_a_key_does_not_show_its_secret() -> None:
    assert SECRET not in repr(Key("current", SECRET)) + str([Key("current", SECRET)])
