"""The demo account and exam at the sandbox's Scorpion, as its simulator documents them."""

CREDENTIALS = {
    "token": "NmYwZjJjMWUtN2E1NS00ZDM5LThmMGUtMmI3YjlmMWEwMDAxOmMyYjFhOWQ0LTNlNmYtNGI1OC05YzdkLTVhNGU4ZjJkMDAwMg=="
}
SETTINGS: dict[str, object] = {}
PERMISSIONS = ["create", "view"]
EXAMS = [
    {
        "title": "Certified Widget Inspector",
        "ref": "b5a7c9d0-1f2e-4a3b-8c4d-000000000101",
        "duration_minutes": 90,
        "instructions": "Have your identity card ready. A calculator is permitted, a telephone is not.",
        "settings": {},
    },
]
