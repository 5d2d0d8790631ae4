"""The demo account and exams at the sandbox's Campfire Learning, as its simulator documents them."""

CREDENTIALS = {"app_key": "demo-campfire-app", "app_secret": "4d1f7b0e9a6c4c52b1f3-campfire"}
SETTINGS: dict[str, object] = {"next_token_in": "body"}
PERMISSIONS: list[str] = []
EXAMS = [
    {
        "title": "Personal Financial Literacy",
        "ref": "a0829bc3-8291-43dd-9181-478e7411c1df",
        "duration_minutes": 45,
        "instructions": "Read every question to its end. You may go back and change an answer until you submit.",
        "settings": {
            "config_refs": ["0007622b-b727-4d64-8454-4b3383ed9509"],
            "include": ["results"],
            "allows_retakes": None,
        },
    },
    {
        "title": "Saving and Earning, Practice",
        "ref": "c1f7a1de-52f0-4c0b-8f63-7d1a3c5e9b02",
        "duration_minutes": 30,
        "instructions": "Take this practice exam as often as you like: your best attempt counts.",
        "settings": {
            "config_refs": ["d7a56ac9-2e3d-4a86-814a-0ddf7fbf7f8c"],
            "include": ["results"],
            "allows_retakes": None,
        },
    },
]
