"""Answer over HTTP: the page, and an API that reads pictures. Needs the extra ``serve``."""
