"""The demo account and exams at the sandbox's Cirrus, as its simulator documents them."""

CREDENTIALS = {"token": "eapi-demo-7c1f4d0b9a3e48d2b6f50e91"}
SETTINGS: dict[str, object] = {"site_url": "http://127.0.0.1:8105"}
PERMISSIONS: list[str] = []
EXAMS = [
    {
        "title": "Widget Theory",
        "ref": "WIDGET-101",
        "duration_minutes": 90,
        "instructions": "Have your identity card ready. A calculator is permitted, a telephone is not.",
        "settings": {"workflow": "DEFAULT", "group_ext_id": "WIDGETS", "group_name": "Widget candidates"},
    },
    {
        "title": "Gadget Safety",
        "ref": "GADGET-201",
        "duration_minutes": 120,
        "instructions": "This exam is proctored through your camera: sit alone in a quiet, well-lit room.",
        "settings": {
            "workflow": "EXTERNAL_ATTEMPTS",
            "group_ext_id": "GADGETS",
            "group_name": "Gadget candidates",
            "assessment_extra_minutes": 60,
        },
    },
]
