# SPDX-License-Identifier: Apache-2.0
"""Debian's nginx with its DAV modules on loopback, by a configuration of the test's own."""
import os
import socket
import subprocess
import time

CONF = """
{modules}
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/t1; fastcgi_temp_path {dir}/t2;
    uwsgi_temp_path {dir}/t3; scgi_temp_path {dir}/t4;
    client_max_body_size 0;
    # A real one has the default, 60s; the test of a cut does not want to wait.
    client_body_timeout 5s;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {dir}/server.pem;
        ssl_certificate_key {dir}/server.key;
        root {dir}/www;
        location / {{
            dav_methods PUT DELETE MKCOL MOVE;
            dav_ext_methods PROPFIND OPTIONS;
        }}
        location /private/ {{
            auth_basic "stores";
            auth_basic_user_file {dir}/users;
            dav_methods PUT DELETE MKCOL MOVE;
            dav_ext_methods PROPFIND OPTIONS;
        }}
    }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*argv, **kw):
    return subprocess.run(argv, check=True, timeout=60, capture_output=True, **kw)


def make_certificates(where):
    """A CA of our own, a certificate for 127.0.0.1 by it, and one for another name."""
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-subj", "/CN=test CA", "-keyout", where + "/ca.key", "-out", where + "/ca.pem")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=store",
        "-keyout", where + "/server.key", "-out", where + "/server.csr")
    with open(where + "/ext", "w", encoding="ascii") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    run("openssl", "x509", "-req", "-in", where + "/server.csr", "-CA", where + "/ca.pem",
        "-CAkey", where + "/ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", where + "/ext", "-out", where + "/server.pem")


class Nginx:
    """Runs from construction to close(); .url, .tls_url end with a slash."""

    def __init__(self, where):
        self.dir = where
        os.makedirs(where + "/www/private")
        # started as root its workers are www-data
        os.chmod(where, 0o755)
        run("chmod", "-R", "777", where + "/www")
        make_certificates(where)
        with open(where + "/users", "w", encoding="ascii") as f:
            f.write("keeper:{PLAIN}open-sesame\n")
        os.chmod(where + "/users", 0o644)
        self.port, self.tls_port = free_port(), free_port()
        module = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so"
        conf = CONF.format(dir=where, port=self.port, tls_port=self.tls_port,
                           modules="load_module %s;" % module)
        if os.geteuid() == 0:
            conf = "user root;\n" + conf
        with open(where + "/nginx.conf", "w", encoding="ascii") as f:
            f.write(conf)
        self.url = "http://127.0.0.1:%d/" % self.port
        self.tls_url = "https://127.0.0.1:%d/" % self.tls_port
        self.ca = where + "/ca.pem"
        self.proc = None
        self.start()

    def start(self):
        self.proc = subprocess.Popen(["nginx", "-p", self.dir, "-c", self.dir + "/nginx.conf"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.proc.poll() is not None:
                    break
                time.sleep(0.05)
        raise AssertionError("nginx does not start: %s" %
                             self.proc.stderr.read().decode(errors="replace")[-400:])

    def stop(self):
        self.proc.terminate()
        self.proc.wait(20)
        self.proc.stderr.close()

    def files(self, below=""):
        """Every file of the web root, as the server's disk has it."""
        found = []
        for folder, _, names in os.walk(self.dir + "/www/" + below):
            found += [os.path.relpath(os.path.join(folder, n), self.dir + "/www") for n in names]
        return sorted(found)
