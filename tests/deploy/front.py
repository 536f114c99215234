"""nginx as deploy/nginx configures it, on ports of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.running import ROOT, eventually, free_port, installed

FOLDER = ROOT / "deploy" / "nginx"


def configured(place: Path, web: int, http: int, https: int, certificate: Path) -> Path:
    """→ a configuration for nginx that includes ours, with other ports and paths put in."""
    site = (FOLDER / "notifier.conf").read_text()
    for ours, theirs in {
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen [::]:80;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{https} ssl http2;",
        "listen [::]:443 ssl http2;": "",
        "/etc/nginx/certificates/fullchain.pem": str(certificate),
        "/etc/nginx/certificates/privkey.pem": str(certificate),
        "/etc/nginx/proxy.conf": str(FOLDER / "proxy.conf"),
    }.items():
        assert site.count(ours) == 1, ours
        site = site.replace(ours, theirs)
    upstream = (FOLDER / "upstream.conf").read_text()
    assert upstream.count("127.0.0.1:5000") == 1
    upstream = upstream.replace("127.0.0.1:5000", f"127.0.0.1:{web}")
    (place / "notifier.conf").write_text(site)
    (place / "upstream.conf").write_text(upstream)
    (place / "nginx.conf").write_text(f"""
        daemon off; error_log {place}/error.log warn; pid {place}/pid;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {place}/1; proxy_temp_path {place}/2;
            fastcgi_temp_path {place}/3; uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
            include {place}/upstream.conf; include {place}/notifier.conf;
        }}""")
    return place / "nginx.conf"


@contextmanager
def nginx(place: Path, web: int, https: int, certificate: Path) -> Iterator[None]:
    """Runs it in front of the web processes on this port."""
    command = [installed("nginx"), "-p", str(place)]
    file = configured(place, web, free_port(), https, certificate)
    process = subprocess.Popen([*command, "-c", str(file)], stderr=subprocess.DEVNULL)
    eventually((place / "pid").exists, within_s=20)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
