"""The WSGI application that gunicorn serves."""

import gc
import os

from django.core.wsgi import get_wsgi_application

from config.logs import mask_web_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
mask_web_server()
# What is loaded by now stays: going through it for garbage would hold up a large request again and again.
gc.collect()
gc.freeze()
