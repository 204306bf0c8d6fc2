"""One client a vendor, as small as can be: a list, its second page, a patient, and a write of a known record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx

from holovitals_pipelines.sandbox.dialects.cerner import SECRET, SYSTEM_ACCOUNT
from sandbox.loopback import Loopback


@dataclass
class Client:
    """What every one of them can do; `target` is what `write` writes."""

    sandbox: Loopback
    dialect: str
    headers: dict[str, str] = field(default_factory=dict)
    requests_before_second_page: ClassVar[int] = 1
    names_versions: ClassVar[bool] = False
    """Whether `write` says which version it replaces: with somebody's edit in between it is refused."""
    listing: ClassVar[str] = "*"
    write_path: ClassVar[str] = "*"

    def log_in(self) -> Client:
        return self

    def fault(self, kind: str, *, write: bool = False, **declared: Any) -> None:
        where = {"path": self.write_path if write else self.listing, "dialect": self.dialect}
        self.sandbox.fault(kind=kind, **{**where, **declared})

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        url = path if path.startswith("http") else f"{self.sandbox.url(self.dialect)}/{path}"
        headers = {**self.headers, **more.pop("headers", {})}
        return self.sandbox.http.request(method, url, headers=headers, **more)

    def answers(self, answer: httpx.Response) -> bool:
        return answer.status_code == 200

    def target(self) -> tuple[str, str]:
        return "Patient", self.sandbox.ids(self.dialect)[0]

    def version(self) -> int:
        kind, identity = self.target()
        records = self.sandbox.sites[self.dialect].records
        number = records.number(kind, identity)
        assert number is not None
        return records.version(number).number

    def shows(self, patient: str) -> bool:
        raise NotImplementedError

    def listed(self) -> httpx.Response:
        raise NotImplementedError

    def edited(self) -> httpx.Response:
        """A list that `edit_page` edits."""
        return self.listed()

    def second_page(self) -> httpx.Response:
        raise NotImplementedError

    def rows(self, answer: httpx.Response) -> list[Any]:
        raise NotImplementedError

    def write(self) -> httpx.Response:
        raise NotImplementedError

    polls: ClassVar[str] = "*bulk*"
    """Where the state of an export is asked for."""

    def exported(self) -> dict[str, Any]:
        raise NotImplementedError

    def file(self, url: str) -> httpx.Response:
        return self.send("GET", url)


class Fhir(Client):
    listing = "Observation"
    write_path = "*/{id}"

    def query(self) -> str:
        return "Observation?_count=3"

    def listed(self) -> httpx.Response:
        return self.send("GET", self.query())

    def rows(self, answer: httpx.Response) -> list[Any]:
        return [e["resource"] for e in answer.json().get("entry", []) if e["search"]["mode"] == "match"]

    def second_page(self) -> httpx.Response:
        return self.send("GET", next(x["url"] for x in self.listed().json()["link"] if x["relation"] == "next"))

    def shows(self, patient: str) -> bool:
        self.listed()
        answer = self.send("GET", f"Patient/{patient}", follow_redirects=False)
        return self.answers(answer) and answer.json()["id"] == patient

    def target(self) -> tuple[str, str]:
        return "Observation", self.sandbox.ids(self.dialect, "Observation")[0]

    def write(self) -> httpx.Response:
        kind, identity = self.target()
        held = self.sandbox.admin("GET", f"{self.dialect}/{kind}/{identity}")
        return self.send("PUT", f"{kind}/{identity}", json=held)

    def exported(self) -> dict[str, Any]:
        return self.sandbox.export(self.dialect, "$export?_type=Observation,Patient")[1]


class Merging(Fhir):
    """A FHIR server whose merged patients are still read; their charts are the survivor's."""

    listing = "*"
    requests_before_second_page = 1

    def shows(self, patient: str) -> bool:
        return bool(self.rows(self.send("GET", f"Encounter?patient={patient}")))


class Epic(Fhir):
    def query(self) -> str:
        return f"Observation?patient={self.sandbox.ids('epic')[0]}&category=vital-signs&_count=3"

    def exported(self) -> dict[str, Any]:
        self.sandbox.admin("POST", "epic/bulk/reset")
        group = self.sandbox.sites["epic"].dialect.group
        return self.sandbox.export("epic", f"Group/{group}/$export?_type=Observation,Patient")[1]


class Athena(Client):
    listing = "patients"
    write_path = "patients/{id}"

    def log_in(self) -> Client:
        form = {"grant_type": "client_credentials", "scope": "athena/service/Athenanet.MDP.*"}
        url, pair = f"{self.sandbox.origin}/athenahealth/oauth2/v1/token", ("holovitals-sandbox",) * 2
        answer = self.sandbox.http.post(url, auth=(pair[0], f"{pair[1]}-secret"), data=form)
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return self

    def listed(self) -> httpx.Response:
        return self.send("GET", "patients?departmentid=1&limit=2")

    def second_page(self) -> httpx.Response:
        self.listed()
        return self.send("GET", "patients?departmentid=1&limit=2&offset=2")

    def rows(self, answer: httpx.Response) -> list[Any]:
        return list(answer.json()["patients"])

    def edited(self) -> httpx.Response:
        return self.send("GET", "patients?departmentid=1&limit=100")

    def shows(self, patient: str) -> bool:
        self.listed()
        return self.answers(self.send("GET", f"patients/{patient}"))

    def write(self) -> httpx.Response:
        form = {"departmentid": "1", "lastname": "Newname"}
        return self.send("PUT", f"patients/{self.target()[1]}", data=form)


class Unity(Client):
    listing = "*/GetClinicalSummary"
    write_path = "*/SavePatient"
    token: str = ""

    def post(self, path: str, **sent: str) -> httpx.Response:
        return self.send("POST", f"Unity/UnityService.svc/json/{path}", json=sent)

    def log_in(self) -> Client:
        self.token = self.post("GetToken", Username="Sandbox-Service", Password="sandbox", Appname="a").json()
        self.magic("GetUserAuthentication", "", Parameter1="password01")
        return self

    def magic(self, action: str, patient: str, **parameters: str) -> httpx.Response:
        sent = {"Action": action, "AppUserID": "jmedici", "PatientID": patient, "Token": self.token, **parameters}
        return self.post("MagicJson", **sent)

    def listed(self) -> httpx.Response:
        patient = self.sandbox.ids("allscripts")[0]
        return self.magic("GetClinicalSummary", patient, Parameter1="Results")

    def second_page(self) -> httpx.Response:
        self.listed()
        return self.listed()

    def answers(self, answer: httpx.Response) -> bool:
        return answer.status_code == 200 and "Error" not in answer.json()[0]

    def rows(self, answer: httpx.Response) -> list[Any]:
        return list(answer.json()[0]["getclinicalsummaryinfo"])

    def shows(self, patient: str) -> bool:
        self.listed()
        answer = self.magic("GetPatient", patient)
        return self.answers(answer) and bool(answer.json()[0]["getpatientinfo"][0]["LastName"].strip())

    def write(self) -> httpx.Response:
        fields = '<savepatient><field name="LastName" value="Newname"/></savepatient>'
        return self.magic("SavePatient", self.target()[1], Parameter1=fields)


class NextGen(Client):
    listing = "appointments"
    write_path = "persons/{id}"

    def log_in(self) -> Client:
        form = {"grant_type": "client_credentials", "client_id": "sandbox-client", "client_secret": "sandbox"}
        url = f"{self.sandbox.origin}/nextgen/nge-oauth/token"
        issued = self.sandbox.http.post(url, data={**form, "site_id": "sandbox-site"}).json()["access_token"]
        self.headers = {"Authorization": f"Bearer {issued}"}
        practice = {"enterpriseId": "00002", "practiceId": "0006"}
        self.headers["X-NG-SessionID"] = self.send("PUT", "users/me/login-defaults", json=practice).headers[
            "x-ng-sessionid"
        ]
        return self

    def listed(self) -> httpx.Response:
        return self.send("GET", "appointments?$top=3")

    def second_page(self) -> httpx.Response:
        self.listed()
        return self.send("GET", "appointments?$top=3&$skip=3")

    def rows(self, answer: httpx.Response) -> list[Any]:
        return list(answer.json()["items"])

    def edited(self) -> httpx.Response:
        patient = self.sandbox.ids("nextgen")[0]
        self.sandbox.sites["nextgen"].turn({"page_rows": 1000})
        self.send("GET", f"persons/{patient}/chart/encounters")
        return self.send("GET", "appointments")

    def shows(self, patient: str) -> bool:
        self.listed()
        return self.answers(self.send("GET", f"persons/{patient}"))

    def write(self) -> httpx.Response:
        return self.send("PATCH", f"persons/{self.target()[1]}", json={"city": "Newtown"})


class OfOnePatient(Fhir):
    """A FHIR server whose lists are of one patient; a merged one is still read, and has no chart."""

    def query(self) -> str:
        return f"Observation?patient={self.sandbox.ids(self.dialect)[0]}&_count=3"

    def shows(self, patient: str) -> bool:
        self.listed()
        return bool(self.rows(self.send("GET", f"Encounter?patient={patient}")))

    def exported(self) -> dict[str, Any]:
        self.sandbox.admin("POST", f"{self.dialect}/bulk/reset")
        group = self.sandbox.sites[self.dialect].dialect.group
        kicked = self.send(
            "GET", f"Group/{group}/$export?_type=Observation,Patient", headers={"Prefer": "respond-async"}
        )
        assert kicked.status_code == 202, kicked.text
        while (status := self.send("GET", kicked.headers["content-location"])).status_code == 202:
            assert status.headers["retry-after"]
        manifest: dict[str, Any] = status.json()
        return manifest


class Cerner(OfOnePatient):
    names_versions = True

    def log_in(self) -> Client:
        kinds, verbs = ("Patient", "Observation", "Encounter"), ("read", "write")
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(f"system/{kind}.{verb}" for kind in kinds for verb in verbs),
        }
        url = self.send("GET", ".well-known/smart-configuration").json()["token_endpoint"]
        issued = self.sandbox.http.post(url, auth=(SYSTEM_ACCOUNT, SECRET), data=form).json()["access_token"]
        self.headers = {"Authorization": f"Bearer {issued}"}
        return self

    def target(self) -> tuple[str, str]:
        """A laboratory result: of Observations, only these and vital signs are updated."""
        page = self.send("GET", f"Observation?patient={self.sandbox.ids('cerner')[0]}&category=laboratory&_count=1")
        return "Observation", self.rows(page)[0]["id"]

    def write(self) -> httpx.Response:
        kind, identity = self.target()
        held = self.sandbox.admin("GET", f"cerner/{kind}/{identity}")
        named = {"If-Match": f'W/"{held["meta"]["versionId"]}"', "Content-Type": "application/fhir+json"}
        return self.send("PUT", f"{kind}/{identity}", json={**held, "status": "corrected"}, headers=named)

    def file(self, url: str) -> httpx.Response:
        """Files lie elsewhere, where our token is not to be shown."""
        elsewhere = self.send("GET", url, follow_redirects=False)
        assert elsewhere.status_code == 307
        return self.sandbox.http.get(elsewhere.headers["location"])


class EClinicalWorks(OfOnePatient):
    polls = "*export-poll*"

    def log_in(self) -> Client:
        self.sandbox.sites["eclinicalworks"].turn({"write_back": True, "requests_per_minute": 0})
        return self


class Meditech(OfOnePatient):
    """Its FHIR interface; of what is written there, answers to questionnaires."""

    def log_in(self) -> Client:
        site = self.sandbox.sites["meditech"]
        site.turn({"entitled": True, "requires_token": True})
        url = self.send("GET", ".well-known/smart-configuration").json()["token_endpoint"]
        pair, form = (site.settings.client_id, site.settings.client_secret), {"grant_type": "client_credentials"}
        issued = self.sandbox.http.post(url, auth=pair, data=form).json()["access_token"]
        self.headers = {"Authorization": f"Bearer {issued}"}
        return self

    def target(self) -> tuple[str, str]:
        kind, identity = "QuestionnaireResponse", "answers"
        if self.sandbox.sites["meditech"].records.number(kind, identity) is None:
            subject = {"reference": f"Patient/{self.sandbox.ids('meditech')[0]}"}
            made = {"resourceType": kind, "id": identity, "status": "completed", "subject": subject}
            self.sandbox.admin("PUT", f"meditech/{kind}/{identity}", json=made)
        return kind, identity


CLIENTS: dict[str, Callable[[Loopback, str], Client]] = {
    "allscripts": Unity,
    "athenahealth": Athena,
    "cerner": Cerner,
    "eclinicalworks": EClinicalWorks,
    "epic": Epic,
    "fhir": Merging,
    "meditech": Meditech,
    "nextgen": NextGen,
}


def client_of(sandbox: Loopback, dialect: str) -> Client:
    return CLIENTS[dialect](sandbox, dialect).log_in()
