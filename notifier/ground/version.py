"""The release, as wheel, image, metrics and `--version` say it (CONTRIBUTING.md, "Commits and releases")."""

VERSION = "1.0.0"
