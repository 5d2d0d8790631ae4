"""The demo account and exam at the sandbox's ProctorExam, as its simulator documents them."""

CREDENTIALS = {"api_token": "demo-proctorexam-api-token-0001", "secret_key": "demo-proctorexam-secret-key-b7d2f0c94e18"}
SETTINGS: dict[str, object] = {"method": "PATCH", "time_format": "epoch"}
PERMISSIONS: list[str] = []
EXAMS = [
    {
        "title": "Remote Bookkeeping Certificate",
        "ref": "2",
        "duration_minutes": 120,
        "instructions": "Sit alone in a quiet room. Your camera, microphone and screen are recorded.",
        "settings": {
            "type": "record_review",
            "global_proctoring": True,
            "global_reviewing": True,
            "for_reviewing": True,
            "allow_calculator": True,
            "allowed_calculator_type": "Basic",
            "exam_language": "en,de",
        },
    },
]
