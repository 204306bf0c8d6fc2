"""HL7 v2 messages: from MLLP frames to FHIR, durable, beside hl7apy's parse and a bare split of the same messages.

The feed is a hospital's: each patient is admitted, updated, measured twice (five results of one order) and discharged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Stopwatch

ACROSS = 50
"""Messages of one commit: as many links as a busy interface has, each waiting for its answer."""
PID = (
    "PID|1||{number}^^^^MR^FAC1~E{number}^^^^HUB^FAC1||FAMILY{number}^GIVEN^B^^^^L||19720229|M|||"
    "{number} MAIN ST^^TOWN^MA^02101^USA||(896)321-4545^PRN^PH||ENG|M||MA{number}|"
)
PV1 = (
    "PV1|1|I|3ET^U349^1|EL|||DOCX^Doc^Test^W^^MS^^^^^^^XX|||MED||||H|||DOCX^Doc^Test|IN||U|||||||||||||||||||FAC1||{said}"
    "|||202601121020|{left}"
)
AL1 = "AL1|1|DA|F001000476^Penicillins^^Penicillins^^allergy.id|SV|Anaphylaxis|20260112|"
ORDER = (
    "ORC|RE|P{order}|||CM|N|||202601150917",
    "OBR|1|P{order}|F{order}|301.0100^CBC^00065227^57021-8^CBC \\T\\ Auto^pCLOCD|R||202601150914|||||||||||||||"
    "202601150915||LAB|F|",
)
RESULT = (
    "OBX|{set}|NM|301.0{set}00^Result {set}^00065227^6690-{set}^Result^pCLOCD|1|1{set}.1|10\\S\\9/L|3.1-9.7|H||A~S|F|||"
    "202601150916|FAC1^Test Hospital^L|"
)


def feed(messages: int) -> Iterator[bytes]:
    """The same messages for the same number."""
    for number in range(messages):
        patient, step = divmod(number, 6)
        yield _message(100_000 + patient, step, number)


def _message(patient: int, step: int, number: int) -> bytes:
    kind = ("ADT^A01", "ADT^A08", "ORU^R01", "ADT^A08", "ORU^R01", "ADT^A03")[step]
    module = kind[:3] == "ADT"
    segments = [f"MSH|^~\\&|{'ADM' if module else 'LAB'}|FAC1|||2026011509{10 + step}||{kind}|{number}|P|2.4|||AL|NE|"]
    segments += [f"EVN|{kind[4:]}|202601150930|||UNKNOWN^RUN^MIDNT|20260115"] if module else []
    left, said = ("202601161200", "DIS") if step == 5 else ("", "ADM")
    segments += [PID.format(number=patient), PV1.format(said=said, left=left)]
    if module:
        segments += [AL1, "ZFH|CVC||F||note|"]
    else:
        segments += [one.format(order=number) for one in ORDER]
        segments += [RESULT.format(set=place) for place in range(1, 6)]
    return "\r".join((*segments, "")).encode()


def hl7v2_split(messages: int) -> None:
    """Segments and fields only: what no reading can do without."""
    with Stopwatch() as watch:
        for body in feed(messages):
            [line.split("|") for line in body.decode().split("\r")]
    watch.report(messages)


def hl7v2_hl7apy(messages: int) -> None:
    """What a general library takes to read the same."""
    from hl7apy.parser import parse_message

    with Stopwatch() as watch:
        for body in feed(messages):
            parse_message(body.decode(), find_groups=False)
    watch.report(messages)


def hl7v2_intake(messages: int) -> None:
    """Frame, header, durable store, acknowledgement; applying; and FHIR by the shipped rules of all that was told.

    What a job does is done as in a job: with rare garbage collections (engine/jobs.py).
    """
    from holovitals_pipelines.engine.collecting import rare_collections
    from holovitals_pipelines.engine.conversion import Conversions
    from holovitals_pipelines.engine.hl7v2.applying import apply_received
    from holovitals_pipelines.engine.hl7v2.held import HeldInDatabase
    from holovitals_pipelines.engine.hl7v2.intake import as_arrived, store_arrived
    from holovitals_pipelines.model.connection import ConnectionConfig
    from holovitals_pipelines.model.vocabulary import Provider
    from holovitals_pipelines.providers.hl7v2.acknowledgement import Acknowledger
    from holovitals_pipelines.providers.hl7v2.framing import Frame, FrameReader, framed
    from holovitals_pipelines.providers.hl7v2.header import read_header
    from holovitals_pipelines.providers.hl7v2.link import Arrival
    from holovitals_pipelines.providers.meditech.adapter import TYPES
    from holovitals_pipelines.store.database import open_database

    connection = ConnectionConfig(name="bench", provider=Provider.MEDITECH, base_url="mllp://127.0.0.1:1")
    wire = b"".join(framed(body) for body in feed(messages))
    with tempfile.TemporaryDirectory(prefix="holovitals-bench-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'operational.db'}")
        database.upgrade()
        acknowledger = Acknowledger(connection.hl7v2)
        conversions = Conversions(database, connection)
        ways = {name: conversions.inbound(name) for name in TYPES}
        with Stopwatch() as watch:
            reader = FrameReader(limit=1 << 20)
            bodies: list[bytes] = []
            for start in range(0, len(wire), 65_536):
                events = reader.feed(wire[start : start + 65_536])
                bodies += [one.body for one in events if isinstance(one, Frame)]
            answered = 0
            for start in range(0, len(bodies), ACROSS):
                arrivals = [
                    Arrival("feed", body, "", read_header(body), None) for body in bodies[start : start + ACROSS]
                ]
                answers = store_arrived(database, "bench", [as_arrived(one, connection) for one in arrivals])
                for arrival, answer in zip(arrivals, answers, strict=True):
                    answered += sum(1 for _ in acknowledger.answers(arrival.header, answer))
            watch.lap("stored and answered")
            with rare_collections():
                applied = apply_received(database, connection).applied
                watch.lap("applied")
                held, records = HeldInDatabase(database, connection), 0
                now = datetime.now(UTC)
                for name in TYPES:
                    since, after = None, ""
                    while page := held.changed(name, since=since, until=now, after=after, most=1000):
                        since, after = page[-1].changed_at, page[-1].remote_id
                        way = ways[name]
                        assert way is not None
                        for one in page:
                            assert way.convert(one.body).body is not None
                            records += 1
                watch.lap("mapped to FHIR")
        database.close()
    assert (answered, applied) == (messages, messages)
    assert records >= messages // 6 * 15, "patients, visits, allergies, two reports with five results each"
    watch.report(messages)
