"""The command line: phenomena put to the test, and the spectrum and the certificate of one's own model."""

from pyphenom.cli import studies, user_certificate, user_model
from pyphenom.cli.terminal import app

__all__ = ["app", "studies", "user_certificate", "user_model"]
