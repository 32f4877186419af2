"""nginx, from Debian's package where it is not installed: in front of a daemon, on a Unix socket of its own."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import debian_package
from tests.support.feed import DEADLINE, eventually
from tests.support.mmdb.published import NotToBeHadError

IN_THE_PACKAGE = Path("usr/sbin/nginx")
CONFIG = """\
daemon off;
master_process off;
pid {home}/pid;
error_log {home}/errors info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    {servers}
}}
"""


def find(cache: Path) -> Path:
    """Return the system's, the one in the cache, or else apt's. Raises NotToBeHadError where none of them runs."""
    installed = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    program = Path(installed) if installed is not None else cache / "nginx" / IN_THE_PACKAGE
    if not program.exists():
        program = debian_package.unpack("nginx", cache) / IN_THE_PACKAGE
    try:
        subprocess.run([program, "-v"], capture_output=True, timeout=DEADLINE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotToBeHadError(f"nginx does not run: {error}") from error
    return program


@contextmanager
def running(program: Path, home: Path, servers: str, listens: Path) -> Iterator[Path]:
    """Run it with these servers, of which one listens at that Unix socket; give the file of its errors."""
    config = home / "nginx.conf"
    config.write_text(CONFIG.format(home=home, servers=servers))
    with subprocess.Popen(
        [program, "-e", home / "errors", "-p", home, "-c", config], stdin=subprocess.DEVNULL
    ) as nginx:
        try:
            eventually(lambda: nginx.poll() is not None or _listens(listens), "nginx listens")
            assert nginx.poll() is None, (home / "errors").read_text()
            yield home / "errors"
        finally:
            nginx.terminate()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
