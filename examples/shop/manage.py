"""Django's command-line entry point for the shop."""

import os
import sys


def main() -> None:
    """Run one management command, such as `runserver` or `test`."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
