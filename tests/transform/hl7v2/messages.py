"""Synthetic HL7 v2 messages, one of each structure, as MEDITECH lays them out."""

from __future__ import annotations


def message(*segments: str) -> bytes:
    return "\r".join((*segments, "")).encode()


def header(kind: str, number: str = "9000121") -> str:
    return f"MSH|^~\\&|ADM|FAC1|||202601150930||{kind}|{number}|P|2.4|||AL|NE|"


PID = (
    "PID|1||M900000101^^^^MR^FAC1~E0-B2026^^^^PI^FAC1||TEST^ALPHA^B^^^^L~TESTER^AL^^^^^N||19720229 |F|||"
    "1 MAIN ST^^TOWN^MA^02101^USA^H||(896)321-4545^PRN^CELL||ENG|M||MA0000032961|"
)
PV1 = (
    "PV1|1|I|3ET^U349^1|EL|||DOCX^Doc^Test^W^^MS|||MED||||H|||DOCX^Doc^Test|IN||U|||||||||||||||||||FAC1||ADM|||"
    "202601121020|"
)
ADMISSION = message(
    header("ADT^A08"),
    "EVN|A08|202601150930|||UNKNOWN^RUN^MIDNT|20260115",
    PID,
    "PD1||||PCP1^Primary^Pat",
    "NK1|1|TEST^BETA|SPO^Spouse^HL70063||(896)321-0000",
    PV1,
    "PV2|||R07.9^Chest pain^I10",
    "OBX|1|NM|8302-2^Height^LN||170.50|cm|||||F",
    "AL1|1|DA|F001000476^Penicillins^^Penicillins^^allergy.id|SV|Anaphylaxis~Hives|20260112|",
    "AL1|2|FA|^Peanut||",
    "DG1|1||I10^Hypertension^I10|Hypertension, essential|202601121000|A",
    "GT1|1||TEST^GAMMA",
    "IN1|1|PLAN9^The Plan",
    "ZFH|CVC||F||kept note|",
)
RESULTS = message(
    header("ORU^R01"),
    PID,
    PV1,
    "ORC|RE|PT1039301.0100|||CM|N|||202601150917",
    "OBR|1|PT1311:H1R301.0100|PT1311:H1R|301.0100^Complete Blood Count (CBC)^00065227^57021-8^CBC \\T\\ Auto^pCLOCD|R||"
    "202601150914|||||||||||||||202601150915||LAB|F|",
    "NTE|1||Drawn fasting",
    "OBX|1|NM|301.0500^White Blood Count (WBC)^00065227^6690-2^Leukocytes^pCLOCD|1|10.10|10\\S\\9/L|3.1-9.7|H||A~S|F|||"
    "202601150916|FAC1^Test Hospital^L|",
    "NTE|1||Checked twice",
    "OBX|2|SN|301.0600^CRP^00065227||<^5|mg/L^^UCUM|||||F",
    "OBX|3|SN|301.0700^Titre^00065227||^1^:^128||||||F",
    "OBX|4|TX|301.0800^Comment^00065227||line one~line two||||||F",
    "OBX|5|TX|301.0800^Comment^00065227||line three||||||F",
    "OBX|6|CE|301.0900^Type^00065227||112283007^Escherichia coli^SCT||||||P",
    "OBX|7|NM|301.1000^Pending^00065227||not done yet||||||I",
    "OBR|2|PT1311:H1R302|PT1311:H1R|302^Chemistry^L|||202601150914-0500|||||||||||||||||P",
    "OBX|1|DT|302.1^Last meal^L||20260114||||||C",
    "ZLB|1|kept specimen",
)
VACCINATION = message(
    header("VXU^V04^VXU_V04"),
    PID,
    "ORC|RE||V-77^FAC1",
    "RXA|0|1|20260110||140^Influenza^CVX|0.5|mL^^UCUM||00^New^NIP001|NURSE1^Nurse^Nora|||||L123|20261231|SKB^Maker^MVX|||CP|A",
    "RXR|IM^Intramuscular^HL70162|LA^Left arm^HL70163",
    "OBX|1|CE|64994-7^Eligibility^LN|1|V01^Not eligible^HL70064||||||F",
    "ORC|RE||9999",
    "RXA|0|1|20200110||08^Hepatitis B^CVX|999|||01^Historical^NIP001",
    "ORC|RE||V-79^FAC1",
    "RXA|0|1|20260110||08^Hepatitis B^CVX|999||||||||||||00^Parental decision^NIP002||RE|A",
)
ORDER = message(
    header("ORM^O01"), PID, "ORC|NW|ORD1", "OBR|1|ORD1||80048^Metabolic panel^C4", "ORC|NW|ORD2", "RXO|1^Drug"
)
DOCUMENT = message(
    header("MDM^T02"),
    PID,
    PV1,
    "TXA|1|DS^Discharge summary|TX||||202601151200||DOCX^Doc^Test|||DOC-7^FAC1||||F.TXT|AU||AV",
    "OBX|1|TX|DS^Text||First line~Second line",
    "OBX|2|TX|DS^Text||Third line",
)
PROBLEM = message(
    header("PPR^PC1"), PID, "PRB|AD|20260112|E11.9^Diabetes^I10|PRB-5^FAC1|||20260112||20260114|||||||20250101"
)
MERGE = message(header("ADT^A40"), "EVN|A40|202601150930", PID, "MRG|M900000055^^^^MR^FAC1")
NULLS = message(header("ADT^A08"), 'PID|1||417^^^^MR^FAC1||TEST^ALPHA^""||""|F||||~""^WPN')
TWO_PATIENTS = message(header("ADT^A17"), PID, PV1, "PID|2||417^^^^MR^FAC1||OTHER^ANN", "PV1|1|E|||||||||||||||||V-2")
ALL = {
    "ADT": ADMISSION,
    "ORU": RESULTS,
    "VXU": VACCINATION,
    "ORM": ORDER,
    "MDM": DOCUMENT,
    "PPR": PROBLEM,
    "MERGE": MERGE,
    "NULLS": NULLS,
    "A17": TWO_PATIENTS,
}
