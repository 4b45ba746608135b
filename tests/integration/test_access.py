"""How endpoints are reached: forms of urls, keys and headers, further fields, proxies, TLS with an authority of our own, HTTP/2."""

import json
import os
import re
import shutil
import ssl
import subprocess
import time
import unittest

import harness
from fake_llm import FakeLLM
from harness import EXIT_ENDPOINT, EXIT_INPUT, EXIT_OK
from hostile_llm import HostileLLM

FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya"]
TOWNS = ["Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi"]
KEY = "sk-access-0123456789abcdef"


class Proxied(HostileLLM):
    """An HTTP proxy that answers itself, whatever host is asked for."""

    def chat(self, handler):
        handler.path = "/" + handler.path.split("/", 3)[3] if "://" in handler.path else handler.path
        super().chat(handler)


class AccessCase(harness.Case):
    def endpoints(self, entries, samples=40):
        """A project with these endpoints: (name, url, further lines)."""
        project = self.project(samples=samples, more="generation: {constrain: never}\n", Fruit="\n".join(FRUIT) + "\n",
                               Town="\n".join(TOWNS) + "\n")
        return self.set_endpoints(project, [(name, url, "timeout_s: 20", *more) for name, url, *more in entries])

    def preview(self, project, *args, samples=3, **more):
        return self.nermill("preview", project, "-n", samples, "--seed", 7, "--give-up", 2, *args, name="nermill-generator",
                            **more)

    def served(self, llm, project, **more):
        """Calls of a preview that went well."""
        result = self.preview(project, **more)
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        return llm.calls


class Forms(AccessCase):
    KEYED = "api_key_env: NM_TEST_KEY"
    # name: (path of the url, path of the call, header of the key)
    TABLE = {
        "openai": ("/v1", "/v1/chat/completions", "authorization"),
        "slash": ("/v1/", "/v1/chat/completions", "authorization"),
        "whole": ("/v1/chat/completions", "/v1/chat/completions", "authorization"),
        "openrouter": ("/api/v1", "/api/v1/chat/completions", "authorization"),
        "gateway": ("/v1?team=a&x=1", "/v1/chat/completions?team=a&x=1", "authorization"),
        "azure": ("/openai/deployments/gpt/chat/completions?api-version=2024-06-01",
                  "/openai/deployments/gpt/chat/completions?api-version=2024-06-01", "api-key"),
        "azure_base": ("/openai/deployments/gpt?api-version=2024-06-01",
                       "/openai/deployments/gpt/chat/completions?api-version=2024-06-01", "api-key"),
    }

    def test_urls_and_keys(self):
        with HostileLLM(FRUIT + TOWNS, {name: [] for name in self.TABLE}, last_delay=0) as llm:
            project = self.endpoints([(name, f"{llm.root}/{name}{path}", self.KEYED)
                                      for name, (path, _, _) in self.TABLE.items()])
            calls = self.served(llm, project, samples=21, env={"NM_TEST_KEY": KEY})
            for name, (_, path, header) in self.TABLE.items():
                mine = [call for call in calls if call.scenario == name]
                self.assertTrue(mine, name)
                for call in mine:
                    self.assertEqual(call.path, f"/{name}{path}")
                    self.assertEqual(call.headers.get(header), KEY if header == "api-key" else f"Bearer {KEY}")
                    self.assertEqual(sum(KEY in value for value in call.headers.values()), 1)

    def test_headers_and_fields(self):
        with HostileLLM(FRUIT + TOWNS, {"a": [], "b": []}, last_delay=0) as llm:
            bodies, take = [], llm.do_good
            llm.do_good = lambda handler, body, argument: (bodies.append(json.loads(body)), take(handler, body, argument))
            project = self.endpoints([
                ("a", f"{llm.root}/a/v1", "headers: ['HTTP-Referer: https://example.org', 'X-Api-Token: ${NM_TEST_TOKEN}']",
                 """extra_body: '{"top_k": 40, "seed": null, "provider": {"order": ["x"]}}'"""),
                ("b", f"{llm.root}/b/v1", "api_key_env: NM_TEST_KEY", "api_key_header: X-Key")])
            calls = self.served(llm, project, samples=4, env={"NM_TEST_KEY": KEY, "NM_TEST_TOKEN": "tok-0123456789"})
            for call in calls:
                if call.scenario == "a":
                    self.assertEqual(call.headers["http-referer"], "https://example.org")
                    self.assertEqual(call.headers["x-api-token"], "tok-0123456789")
                else:
                    self.assertEqual(call.headers["x-key"], KEY)
                    self.assertNotIn("authorization", call.headers)
            merged = [body for body in bodies if "top_k" in body]
            self.assertTrue(merged and len(merged) < len(bodies))
            for body in merged:
                self.assertEqual((body["top_k"], body["provider"]), (40, {"order": ["x"]}))
                self.assertNotIn("seed", body)
                self.assertEqual(body["messages"][-1]["role"], "user")

    def test_key_files(self):
        with HostileLLM(FRUIT + TOWNS, {"a": []}, last_delay=0) as llm:
            project = self.endpoints([("a", f"{llm.root}/a/v1", "api_key_file: secret.key")])
            missing = self.preview(project)
            self.assert_fails(missing, EXIT_INPUT, "endpoint a", "secret.key", "No such file")
            path = project / "secret.key"
            path.write_text(KEY + "\n")
            for mode in (0o644, 0o640, 0o604):
                path.chmod(mode)
                line = self.assert_fails(self.preview(project), EXIT_INPUT, "endpoint a", "secret.key", "chmod 600")
                self.assertNotIn(KEY, line)
                self.assert_fails(self.nermill("validate", project), EXIT_INPUT, "chmod 600")
            self.assertEqual(llm.calls, [])
            path.chmod(0o600)
            calls = self.served(llm, project, cwd=self.dir)
            self.assertEqual({call.headers["authorization"] for call in calls}, {f"Bearer {KEY}"})

    def test_a_missing_key_stops_one_endpoint(self):
        """The others serve; who asks for all of them is told."""
        with HostileLLM(FRUIT + TOWNS, {"a": [], "b": []}, last_delay=0) as llm:
            project = self.endpoints([("a", f"{llm.root}/a/v1", "api_key_env: NM_TEST_NO_SUCH_KEY"),
                                      ("b", f"{llm.root}/b/v1"), ("c", f"{llm.root}/c/v1", "api_key_file: no.key")])
            done = self.preview(project)
            self.assertEqual(done.returncode, EXIT_OK, done.stderr)
            self.assertIn("NM_TEST_NO_SUCH_KEY", done.stderr)
            self.assertIn("no.key", done.stderr)
            self.assertEqual({call.scenario for call in llm.calls}, {"b"})
            self.assert_fails(self.nermill("validate", project), EXIT_ENDPOINT, "NM_TEST_NO_SUCH_KEY")
            run = self.nermill("run", project, "--no-train", timeout=120)
            self.assertEqual(run.returncode, EXIT_OK, run.stderr)
            self.assertIn("NM_TEST_NO_SUCH_KEY", run.stderr)
            self.assertEqual({call.scenario for call in llm.calls}, {"b"})

    def test_the_status_tells_of_circuit_breakers(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.1) as good, FakeLLM(FRUIT) as busy:
            busy.steady, busy.retry_after = "429", 100
            project = self.endpoints([("a", good.url, "api_key_env: NM_TEST_NO_SUCH_KEY"), ("b", busy.url), ("c", good.url)],
                                     samples=100000)
            run = subprocess.Popen([harness.program("nermill"), "run", str(project), "--no-train"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            self.addCleanup(run.wait)
            self.addCleanup(run.kill)
            end = time.monotonic() + 60
            states = {}
            while time.monotonic() < end and states.get("b") != "open":
                result = self.nermill("status", project, "--json")
                endpoints = json.loads(result.stdout)["endpoints"] if result.returncode == 0 else []
                circuits = {e["name"]: e["circuits"][0] for e in endpoints if e["circuits"]}
                states = {name: circuit["state"] for name, circuit in circuits.items()}
            self.assertEqual(states, {"a": "stopped", "b": "open", "c": "closed"})
            self.assertIn("NM_TEST_NO_SUCH_KEY", circuits["a"]["detail"])
            self.assertEqual((circuits["b"]["why"], circuits["c"]["why"]), ("busy", ""))
            self.assertTrue(0 < circuits["b"]["until_ms"] - 1000 * time.time() <= 101000)
            self.assertEqual((circuits["a"]["until_ms"], circuits["c"]["until_ms"]), (None, None))
            text = self.nermill("status", project).stdout
            self.assertRegex(text, r"(?m)^circuit    a: stopped at generator-\w+: .*NM_TEST_NO_SUCH_KEY")
            self.assertRegex(text, r"(?m)^circuit    b: open for \d+ s more at generator-")
            self.assertNotIn("circuit    c", text)

    def test_no_secret_in_a_project(self):
        for line in ("headers: ['Authorization: Bearer " + KEY + "']", "proxy: 'http://u:" + KEY + "@127.0.0.1:1'"):
            result = self.preview(self.endpoints([("a", "http://127.0.0.1:9/v1", line)]))
            self.assertNotIn(KEY, self.assert_fails(result, EXIT_INPUT, "project.yaml:", "${VARIABLE}"))


class KeyFileOfAWorker(harness.Live, AccessCase):
    def test_beside_the_project(self):
        with HostileLLM(FRUIT + TOWNS, {"a": []}, last_delay=0.1) as llm:
            port = harness.free_port()
            project = self.endpoints([("a", f"{llm.root}/a/v1", "api_key_file: secret.key")], samples=100)
            path = project / "secret.key"
            path.write_text(KEY)
            path.chmod(0o600)
            self.broker(project, port)
            self.start("nermill-generator", "--broker", f"tcp://127.0.0.1:{port}", "--state", self.dir / "state",
                       "--project-dir", project)
            self.wait_for(lambda: len(llm.calls) > 3)
            self.assertEqual({call.headers["authorization"] for call in llm.calls}, {f"Bearer {KEY}"})


class Proxies(AccessCase):
    def test_named_and_from_the_environment(self):
        with Proxied(FRUIT + TOWNS, {"a": []}, last_delay=0) as proxy:
            url, host = "http://llm.invalid/a/v1", f"127.0.0.1:{proxy.server.server_port}"
            calls = self.served(proxy, self.endpoints([("a", url, "proxy: 'http://u:${NM_TEST_PASSWORD}@" + host + "'")]),
                                env={"NM_TEST_PASSWORD": "pass-word-of-a-proxy"})
            self.assertTrue(calls)
            self.assertTrue(all(call.headers["proxy-authorization"].startswith("Basic ") for call in calls))
            self.assertEqual({call.headers["host"] for call in calls}, {"llm.invalid"})
            # From the environment; but never for loopback, and not where the project says none.
            before = len(calls)
            plain = self.endpoints([("a", url)])
            self.assertGreater(len(self.served(proxy, plain, env={"http_proxy": f"http://{host}"})), before)
            before = len(proxy.calls)
            down = self.preview(plain, env={"http_proxy": f"http://{host}", "no_proxy": "llm.invalid"})
            self.assert_fails(down, EXIT_ENDPOINT, "llm.invalid", "cannot be reached")
            down = self.preview(self.endpoints([("a", url, "proxy: none")]), env={"http_proxy": f"http://{host}"})
            self.assert_fails(down, EXIT_ENDPOINT, "llm.invalid", "cannot be reached")
            self.assertEqual(len(proxy.calls), before)

    def test_loopback_goes_direct(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            nobody = f"http://127.0.0.1:{harness.free_port()}"
            result = self.preview(self.endpoints([("a", llm.url)]), env={"http_proxy": nobody, "all_proxy": nobody})
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)


class TLS(AccessCase):
    """An authority of our own signs for localhost; a second one is trusted by nobody here."""

    def setUp(self):
        super().setUp()
        if shutil.which("openssl") is None:
            self.skipTest("openssl, which makes the certificates, is not there")
        self.authority("ca")
        self.authority("other")
        self.certificate("ca", "localhost")

    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], cwd=self.dir, capture_output=True, check=True)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
                     "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN=nermill test {name}")

    def certificate(self, authority, host):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key",
                     "-out", "server.csr", "-subj", f"/CN={host}")
        (self.dir / "names").write_text(f"subjectAltName=DNS:{host}")
        self.openssl("x509", "-req", "-in", "server.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-days", 2, "-out", "server.pem", "-extfile", "names")

    def check_trust(self, port, calls):
        """Refused without the authority, with another one, and under another name; no request is sent then."""
        url = f"https://localhost:{port}/v1"
        for more in ((), (f"ca_file: {self.dir}/other.pem",)):
            result = self.preview(self.endpoints([("a", url, "api_key_env: NM_TEST_KEY", *more)]), env={"NM_TEST_KEY": KEY})
            self.assert_fails(result, EXIT_ENDPOINT, url, "certificate", "ca_file")
        wrong = self.endpoints([("a", f"https://127.0.0.1:{port}/v1", f"ca_file: {self.dir}/ca.pem")])
        self.assert_fails(self.preview(wrong), EXIT_ENDPOINT, "certificate", "host")
        self.assertEqual(calls(), 0)
        self.assert_fails(self.preview(self.endpoints([("a", url, "ca_file: nowhere.pem")])), EXIT_INPUT, "nowhere.pem")
        (self.dir / "project" / "trusted.pem").write_bytes((self.dir / "ca.pem").read_bytes())
        good = self.preview(self.endpoints([("a", url, "ca_file: trusted.pem")]), samples=12)
        self.assertEqual(good.returncode, EXIT_OK, good.stderr)
        self.assertGreaterEqual(calls(), 12)

    def test_http1(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.dir / "server.pem", self.dir / "server.key")
            llm.server.socket = context.wrap_socket(llm.server.socket, server_side=True, do_handshake_on_connect=False)
            self.check_trust(llm.server.server_port, lambda: len(llm.bodies))

    def test_http2(self):
        """nginx in front: ALPN takes HTTP/2, and many calls share a connection."""
        nginx = shutil.which("nginx") or ("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else None)
        if nginx is None:
            self.skipTest("nginx, which speaks HTTP/2, is not there (apt-get install nginx-light)")
        with FakeLLM(FRUIT + TOWNS, delay=0.05) as llm:
            port = harness.free_port()
            (self.dir / "nginx.conf").write_text(f"""
daemon off; pid {self.dir}/nginx.pid; error_log {self.dir}/error.log; {"user root;" if os.geteuid() == 0 else ""}
events {{}}
http {{
  log_format protocol '$server_protocol $connection $request_method';
  access_log {self.dir}/access.log protocol;
  client_body_temp_path {self.dir}/t1; proxy_temp_path {self.dir}/t2; fastcgi_temp_path {self.dir}/t3;
  uwsgi_temp_path {self.dir}/t4; scgi_temp_path {self.dir}/t5;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {self.dir}/server.pem; ssl_certificate_key {self.dir}/server.key;
    location / {{ proxy_pass {llm.url[:-3]}; }}
  }}
}}
""")
            server = subprocess.Popen([nginx, "-p", self.dir, "-c", self.dir / "nginx.conf"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            self.addCleanup(server.wait)
            self.addCleanup(server.terminate)
            for _ in range(200):
                if (self.dir / "nginx.pid").exists() or server.poll() is not None:
                    break
                time.sleep(0.05)
            self.assertIsNone(server.poll(), (self.dir / "error.log").read_text())
            self.check_trust(port, lambda: len(llm.bodies))
            lines = re.findall(r"^(\S+) (\d+) POST$", (self.dir / "access.log").read_text(), re.M)
            self.assertEqual({protocol for protocol, _ in lines}, {"HTTP/2.0"})
            self.assertEqual(len({connection for _, connection in lines}), 1, "calls in flight at once share a connection")


if __name__ == "__main__":
    unittest.main()
