"""The demo account and exams at the sandbox's SmarterProctoring, as its simulator documents them."""

CREDENTIALS = {
    "token": (
        "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9."
        "eyJpc3MiOiAic2FuZGJveCIsICJzdWIiOiAiQUkxMjM0NTY3ODkwYWJjZGVmMTIzNDU2Nzg5MGFiY2RlZiIsICJleHAiOiA0MTAyNDQ0ODAwfQ."
        "-xcTH9-2ke1si34I56Fo0rhxPcC6m6S3VhFSzMNhX-I"
    )
}
SETTINGS: dict[str, object] = {"install_sid": "AI1234567890abcdef1234567890abcdef"}
PERMISSIONS: list[str] = []
EXAMS = [
    {
        "title": "Biology Midterm",
        "duration_minutes": 90,
        "instructions": "Use a quiet room. Bathroom breaks are permitted, notes are not.",
        "settings": {
            "courseSid": "CU1234567890abcdef1234567890abcdef",
            "type": "Online",
            "url": "https://learn.example.edu/courses/101/quizzes/7",
            "examDeliverySystemModule": "canvas",
            "useProctorManager": True,
            "requireApproval": False,
            "enableAppointmentSuggestions": True,
            "description": "Covers chapters 1 to 5",
            "isLimitedScope": True,
            "status": "draft",
            "configuration": {
                "password": "Photosynthesis-7",
                "attempts": 1,
                "permittedBathroomBreak": True,
                "permittedBathroomBreakInformation": "One, of at most five minutes.",
                "proctorTypes": ["TS9531c6b112f145018dae3cd2a9f60c4c"],
                "modalityOptions": {"recordWebcam": True, "recordScreen": True, "verifyId": True},
            },
        },
    },
]
