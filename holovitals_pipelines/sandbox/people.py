"""What happens to patients at a vendor: two are merged into one, or a patient is hidden from the client."""

from __future__ import annotations

from holovitals_pipelines.sandbox.site import Site


def merge_patients(site: Site, retired: str, survivor: str) -> int:
    """File everything of one patient under another and remember who was retired. Returns how many resources moved."""
    records, moved = site.records, 0
    watch, records.watch = records.watch, None  # what moves has not changed: the merge itself is the news
    old, new = b'"Patient/%s"' % retired.encode(), b'"Patient/%s"' % survivor.encode()
    for kind in records.types():
        if kind == "Patient":
            continue
        for number in list(records.in_chart(kind, retired)):
            body = records.body(number)
            if body is not None:
                records.put(kind, records.identity(number), body.replace(old, new))
                moved += 1
    if site.note_merge is not None:
        site.note_merge(retired, survivor)
    retire(site, retired, survivor)
    records.watch = watch
    if site.watch_merge is not None:
        site.watch_merge(retired, survivor)
    return moved


def retire(site: Site, retired: str, survivor: str) -> None:
    """Empty the chart of a patient whose resources are filed under another, and remember who that is."""
    for kind in site.records.types():
        if kind != "Patient":
            site.records.unfile(kind, retired)
    site.merged[retired] = survivor


def hide_first(site: Site, patients: int) -> set[str]:
    """Ids of the first so many patients, which a vendor was set to hide."""
    return {site.records.identity(number) for number in site.records.in_order("Patient")[:patients]}


def is_about(site: Site, kind: str, number: int, patients: set[str]) -> bool:
    """Whether the resource lies in the chart of one of the patients."""
    return any(number in site.records.in_chart(kind, patient) for patient in patients)
