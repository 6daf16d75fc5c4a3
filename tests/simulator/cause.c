#include "tests/simulator/cause.h"

#include <string.h>

#include "core/base.h"

const struct cause causes[] = {
	/* --- what passes when it is tried again --- */
	{ .id = "network_dns",
	  .category = "network_failure",
	  .subcategory = "dns",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 8,
	  .stories = { { "npm ci",
			 "npm ERR! code EAI_AGAIN\n"
			 "npm ERR! syscall getaddrinfo\n"
			 "npm ERR! errno EAI_AGAIN\n"
			 "npm ERR! request to https://{host}/{npm} failed, reason: getaddrinfo "
			 "EAI_AGAIN {host}\n"
			 "\n"
			 "npm ERR! A complete log of this run can be found in: "
			 "/home/runner/.npm/_logs/{~hex8}-debug-0.log\n",
			 1 },
		       { "curl -fsSL https://{host}/install.sh | bash",
			 "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  "
			 "Current\n"
			 "curl: (6) Could not resolve host: {host}\n",
			 6 },
		       { "pip install -r requirements.txt",
			 "WARNING: Retrying (Retry(total=0, connect=None, read=None, "
			 "redirect=None, status=None)) after "
			 "connection broken by "
			 "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection "
			 "object at "
			 "0x{~hex12}>: Failed to establish a new connection: [Errno -3] Temporary "
			 "failure in name "
			 "resolution')': /simple/{pip}/\n"
			 "ERROR: Could not install packages due to an OSError: "
			 "HTTPSConnectionPool(host='{host}', port=443): "
			 "Max retries exceeded with url: /simple/{pip}/ (Caused by "
			 "NewConnectionError: Temporary failure in "
			 "name resolution)\n",
			 1 } } },
	{ .id = "network_reset",
	  .category = "network_failure",
	  .subcategory = "reset",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 8,
	  .stories = { { "npm ci",
			 "npm ERR! code ECONNRESET\n"
			 "npm ERR! errno ECONNRESET\n"
			 "npm ERR! network request to https://{host}/{npm} failed, reason: read "
			 "ECONNRESET\n"
			 "npm ERR! network This is a problem related to network connectivity.\n",
			 1 },
		       { "go mod download",
			 "go: {gomod}@v1.{minor}.0: Get "
			 "\"https://{host}/{gomod}/@v/v1.{minor}.0.zip\": read tcp "
			 "10.1.0.{~byte}:{~port}->140.82.{~byte}.{~byte}:443: read: connection "
			 "reset by peer\n",
			 1 },
		       { "cargo fetch --locked",
			 "    Updating crates.io index\n"
			 "warning: spurious network error (3 tries remaining): [56] Failure when "
			 "receiving data from the peer "
			 "(Recv failure: Connection reset by peer)\n"
			 "error: failed to download from "
			 "`https://{host}/api/v1/crates/{crate}/1.{minor}.2/download`\n"
			 "\n"
			 "Caused by:\n"
			 "  [56] Failure when receiving data from the peer (Recv failure: "
			 "Connection reset by peer)\n",
			 101 } } },
	{ .id = "network_tls",
	  .category = "network_failure",
	  .subcategory = "tls",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 3,
	  .stories = { { "./scripts/fetch-toolchain.sh",
			 "Fetching toolchain 12.{minor} from {host}\n"
			 "curl: (35) OpenSSL SSL_connect: Connection reset by peer in connection "
			 "to {host}:443 \n",
			 35 },
		       { "mvn -B -ntp verify",
			 "[ERROR] Failed to execute goal on project {svc}: Could not resolve "
			 "dependencies for project "
			 "com.example:{svc}:jar:1.{minor}.0: Failed to collect dependencies: "
			 "Failed to read artifact descriptor: "
			 "Could not transfer artifact from/to central (https://{host}/maven2): "
			 "Remote host terminated the "
			 "handshake: SSL peer shut down incorrectly -> [Help 1]\n",
			 1 } } },
	{ .id = "network_timeout",
	  .category = "network_failure",
	  .subcategory = "timeout",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 5,
	  .stories = { { "sudo apt-get update && sudo apt-get install -y {apt}",
			 "Hit:1 http://azure.archive.example.org/ubuntu jammy InRelease\n"
			 "Err:2 http://{host}/ubuntu jammy-updates InRelease\n"
			 "  Could not connect to {host}:80 (91.189.91.{~byte}), connection timed "
			 "out\n"
			 "E: Failed to fetch http://{host}/ubuntu/dists/jammy-updates/InRelease  "
			 "Could not connect to {host}:80 "
			 "(91.189.91.{~byte}), connection timed out\n"
			 "E: Some index files failed to download. They have been ignored, or old "
			 "ones used instead.\n",
			 100 },
		       { "docker build -t {image} .",
			 "#4 [internal] load metadata for docker.io/library/{image}:latest\n"
			 "#4 ERROR: failed to do request: Head "
			 "\"https://{host}/v2/library/{image}/manifests/latest\": dial tcp "
			 "54.196.{~byte}.{~byte}:443: i/o timeout\n"
			 "ERROR: failed to solve: {image}:latest: failed to resolve source "
			 "metadata: dial tcp "
			 "54.196.{~byte}.{~byte}:443: i/o timeout\n",
			 1 } } },
	{ .id = "network_503",
	  .category = "network_failure",
	  .subcategory = "server_error",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 5,
	  .stories = { { "yarn install --frozen-lockfile",
			 "[1/4] Resolving packages...\n"
			 "[2/4] Fetching packages...\n"
			 "error An unexpected error occurred: "
			 "\"https://{host}/{npm}/-/{npm}-4.{minor}.1.tgz: Request failed "
			 "\\\"503 Service Unavailable\\\"\".\n"
			 "info If you think this is a bug, please open a bug report with the "
			 "information provided in "
			 "\"/home/runner/work/{svc}/{svc}/yarn-error.log\".\n",
			 1 },
		       { "bundle install --jobs 4",
			 "Fetching gem metadata from https://{host}/.........\n"
			 "Bundler::HTTPError: Could not fetch specs from https://{host}/ due to "
			 "underlying error "
			 "<bad response Service Unavailable 503 (https://{host}/specs.4.8.gz)>\n",
			 17 } } },
	{ .id = "rate_limit_docker",
	  .category = "rate_limit",
	  .subcategory = "registry",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 5,
	  .stories = { { "docker pull {image}:latest",
			 "Error response from daemon: toomanyrequests: You have reached your pull "
			 "rate limit. You may increase "
			 "the limit by authenticating and upgrading: "
			 "https://www.docker.com/increase-rate-limit\n",
			 1 },
		       { "docker compose up -d --wait",
			 " {image} Pulling \n"
			 " {image} Error toomanyrequests: You have reached your pull rate limit. "
			 "You may increase the limit by "
			 "authenticating and upgrading: "
			 "https://www.docker.com/increase-rate-limit\n"
			 "Error response from daemon: toomanyrequests: You have reached your pull "
			 "rate limit.\n",
			 18 } } },
	{ .id = "rate_limit_api",
	  .category = "rate_limit",
	  .subcategory = "api",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 4,
	  .stories = { { "./scripts/latest-release.sh {svc}",
			 "{\"message\":\"API rate limit exceeded for 20.55.{~byte}.{~byte}. (But "
			 "here's the good news: "
			 "Authenticated requests get a higher rate limit.)\"}\n"
			 "curl: (22) The requested URL returned error: 403 rate limit exceeded\n",
			 22 },
		       { "npm ci",
			 "npm ERR! code E429\n"
			 "npm ERR! 429 Too Many Requests - GET https://{host}/{npm}\n",
			 1 } } },
	{ .id = "artifact_gone",
	  .category = "infrastructure_failure",
	  .subcategory = "artifact",
	  .transient = true,
	  .upstream = true,
	  .place = IN_TEST,
	  .stories = { { "actions/download-artifact@v4",
			 "Downloading single artifact\n"
			 "##[error]Unable to download artifact(s): Artifact not found for name: "
			 "dist\n"
			 "        Please ensure that your artifact is not expired and the artifact "
			 "was uploaded using a compatible version of toolkit/upload-artifact.\n",
			 1 } } },
	{ .id = "runner_lost",
	  .category = "infrastructure_failure",
	  .subcategory = "runner_lost",
	  .transient = true,
	  .place = IN_ANY,
	  .no_failed_step = true,
	  .weight = 6,
	  .stories = { { "make -j4 check",
			 "  CC       src/{cfile}\n  CC       src/{cfile2}\n  LD     ", 0 },
		       { "npm test", "PASS src/{tsfile}\nPASS src/{tsfile2}\n", 0 } } },
	{ .id = "runner_shutdown",
	  .category = "infrastructure_failure",
	  .subcategory = "runner_lost",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 4,
	  .stories = { { "./gradlew build",
			 "> Task :{svc}:compileJava\n"
			 "> Task :{svc}:processResources\n"
			 "##[error]The runner has received a shutdown signal. This can happen when "
			 "the runner service is "
			 "stopped, or a manually started runner is canceled.\n"
			 "##[error]The operation was canceled.\n",
			 0 },
		       { "pytest -q",
			 "tests/test_{pymod}.py ........................................ [ "
			 "{~pct}%]\n"
			 "##[error]The hosted runner lost communication with the server. Anything "
			 "in your workflow that "
			 "terminates the runner process, starves it for CPU/Memory, or blocks its "
			 "network access can cause "
			 "this error.\n",
			 0 } } },
	{ .id = "scm_clone",
	  .category = "scm_failure",
	  .subcategory = "clone",
	  .transient = true,
	  .place = IN_ANY,
	  .weight = 6,
	  .stories = { { "actions/checkout@v4",
			 "[command]/usr/bin/git -c protocol.version=2 fetch --no-tags --prune "
			 "--depth=1 origin "
			 "+{sha}:refs/remotes/origin/main\n"
			 "fatal: unable to access 'https://github.com/example/{svc}/': The "
			 "requested URL returned error: 502\n"
			 "The process '/usr/bin/git' failed with exit code 128\n"
			 "Waiting 14 seconds before trying again\n"
			 "[command]/usr/bin/git -c protocol.version=2 fetch --no-tags --prune "
			 "--depth=1 origin "
			 "+{sha}:refs/remotes/origin/main\n"
			 "fatal: unable to access 'https://github.com/example/{svc}/': The "
			 "requested URL returned error: 502\n"
			 "##[error]The process '/usr/bin/git' failed with exit code 128\n",
			 0 },
		       { "git submodule update --init --recursive",
			 "Cloning into '/home/runner/work/{svc}/{svc}/third_party/{crate}'...\n"
			 "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: "
			 "CANCEL (err 8)\n"
			 "fatal: early EOF\n"
			 "fatal: fetch-pack: invalid index-pack output\n"
			 "fatal: clone of 'https://github.com/example/{crate}.git' into submodule "
			 "path 'third_party/{crate}' "
			 "failed\n",
			 1 } } },
	/* --- what fails again --- */
	/* The archive stays as it is until somebody deletes it. */
	{ .id = "cache_corrupt",
	  .category = "cache_corruption",
	  .subcategory = "archive",
	  .cached = true,
	  .place = IN_ANY,
	  .weight = 5,
	  .stories = { { "actions/cache@v4",
			 "Cache Size: ~{~num} MB ({~num7} B)\n"
			 "/usr/bin/tar -xf /home/runner/work/_temp/{~hex8}/cache.tzst -P -C "
			 "/home/runner/work/{svc} "
			 "--use-compress-program unzstd\n"
			 "/*stdin*\\ : Decoding error (36) : Corrupted block detected \n"
			 "/usr/bin/tar: Child returned status 1\n"
			 "/usr/bin/tar: Error is not recoverable: exiting now\n"
			 "##[error]Tar failed with error: The process '/usr/bin/tar' failed with "
			 "exit code 2\n",
			 0 },
		       { "./scripts/restore-cache.sh",
			 "Restoring cache for {svc}\n"
			 "gzip: stdin: unexpected end of file\n"
			 "tar: Unexpected EOF in archive\n"
			 "tar: Error is not recoverable: exiting now\n",
			 2 } } },
	{ .id = "test_assertion",
	  .category = "test_failure",
	  .subcategory = "assertion",
	  .place = IN_TEST,
	  .weight = 14,
	  .stories = { { "pytest -q",
			 "=================================== FAILURES "
			 "===================================\n"
			 "_____________________________ test_{func} _____________________________\n"
			 "\n"
			 "    def test_{func}():\n"
			 ">       assert {func}(3) == {small}\n"
			 "E       assert {small2} == {small}\n"
			 "E        +  where {small2} = {func}(3)\n"
			 "\n"
			 "tests/test_{pymod}.py:{line}: AssertionError\n"
			 "=========================== short test summary info "
			 "============================\n"
			 "FAILED tests/test_{pymod}.py::test_{func} - assert {small2} == {small}\n"
			 "1 failed, {count} passed in {~small}.{~num}s\n",
			 1 },
		       { "npm test",
			 "FAIL src/{tsfile}\n"
			 "  ● {svc} › {func} › keeps the order\n"
			 "\n"
			 "    expect(received).toEqual(expected) // deep equality\n"
			 "\n"
			 "    Expected: {small}\n"
			 "    Received: {small2}\n"
			 "\n"
			 "      at Object.<anonymous> (src/{tsfile}:{line}:{col})\n"
			 "\n"
			 "Test Suites: 1 failed, 12 passed, 13 total\n"
			 "Tests:       1 failed, {count} passed, {count} total\n"
			 "Time:        {~small}.{~num} s\n",
			 1 },
		       { "go test ./...",
			 "ok  \texample.org/{svc}/internal/store\t0.{~num}s\n"
			 "--- FAIL: Test{Func} (0.0{~small}s)\n"
			 "    {gofile}:{line}: got {small2}, want {small}\n"
			 "FAIL\n"
			 "FAIL\texample.org/{svc}/internal/{pymod}\t0.{~num}s\n"
			 "FAIL\n",
			 1 },
		       { "mvn -B -ntp verify",
			 "[ERROR] Tests run: 14, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: "
			 "{~small}.{~num} s <<< FAILURE! "
			 "- in com.example.{pymod}.{Func}Test\n"
			 "[ERROR] com.example.{pymod}.{Func}Test.keepsTheOrder  Time elapsed: "
			 "0.0{~small} s  <<< FAILURE!\n"
			 "org.opentest4j.AssertionFailedError: expected: <{small}> but was: "
			 "<{small2}>\n"
			 "[ERROR] Failures: \n"
			 "[ERROR]   {Func}Test.keepsTheOrder:{line} expected: <{small}> but was: "
			 "<{small2}>\n"
			 "[INFO] BUILD FAILURE\n"
			 "[ERROR] Failed to execute goal "
			 "org.apache.maven.plugins:maven-surefire-plugin:3.2.5:test "
			 "(default-test) on project {svc}: There are test failures.\n",
			 1 } } },
	{ .id = "test_flaky",
	  .category = "test_failure",
	  .subcategory = "flaky",
	  .flaky = true,
	  .place = IN_TEST,
	  .weight = 4,
	  .stories = { { "npx playwright test",
			 "  1) [chromium] › e2e/{tsfile}:{line}:{col} › {func} shows the list \n"
			 "\n"
			 "    Error: Timed out 5000ms waiting for expect(locator).toBeVisible()\n"
			 "\n"
			 "    Locator: locator('#{func}')\n"
			 "    Expected: visible\n"
			 "    Received: <element(s) not found>\n"
			 "\n"
			 "  1 failed\n"
			 "    [chromium] › e2e/{tsfile}:{line}:{col} › {func} shows the list \n"
			 "  {count} passed ({~small}.{~small}m)\n",
			 1 } } },
	{ .id = "test_crash",
	  .category = "test_failure",
	  .subcategory = "crash",
	  .place = IN_TEST,
	  .weight = 2,
	  .stories = { { "ctest --output-on-failure",
			 "      Start {small}: {func}\n"
			 "{small}/{count} Test #{small}: {func} .....................***Exception: "
			 "SegFault  0.{~num} sec\n"
			 "\n"
			 "{pct}% tests passed, 1 tests failed out of {count}\n"
			 "\n"
			 "The following tests FAILED:\n"
			 "\t  {small} - {func} (SEGFAULT)\n"
			 "Errors while running CTest\n",
			 8 } } },
	{ .id = "build_compile",
	  .category = "build_failure",
	  .subcategory = "compile",
	  .place = IN_BUILD,
	  .weight = 10,
	  .stories = { { "make -j4",
			 "gcc -O2 -Wall -Iinclude -c -o build/{cfile}.o src/{cfile}\n"
			 "src/{cfile}: In function '{func}':\n"
			 "src/{cfile}:{line}:{col}: error: 'struct {svc2}' has no member named "
			 "'{func}_at'\n"
			 "make: *** [Makefile:{small}: build/{cfile}.o] Error 1\n",
			 2 },
		       { "npm run build",
			 "\n"
			 "> {svc}@1.{minor}.0 build\n"
			 "> tsc -p .\n"
			 "\n"
			 "src/{tsfile}({line},{col}): error TS2339: Property '{func}' does not "
			 "exist on type '{Func}Options'.\n",
			 2 },
		       { "cargo build --locked",
			 "   Compiling {svc} v0.{minor}.0 (/home/runner/work/{svc}/{svc})\n"
			 "error[E0308]: mismatched types\n"
			 "  --> src/{rsfile}:{line}:{col}\n"
			 "   |\n"
			 "{line} |     let n: u32 = {func}(x);\n"
			 "   |            ---   ^^^^^^^^^^ expected `u32`, found `usize`\n"
			 "\n"
			 "For more information about this error, try `rustc --explain E0308`.\n"
			 "error: could not compile `{svc}` (lib) due to 1 previous error\n",
			 101 },
		       { "mvn -B -ntp compile",
			 "[ERROR] COMPILATION ERROR : \n"
			 "[ERROR] "
			 "/home/runner/work/{svc}/{svc}/src/main/java/com/example/"
			 "{Func}.java:[{line},{col}] cannot find "
			 "symbol\n"
			 "[ERROR]   symbol:   method {func}(int)\n"
			 "[ERROR] Failed to execute goal "
			 "org.apache.maven.plugins:maven-compiler-plugin:3.11.0:compile "
			 "(default-compile) on project {svc}: Compilation failure\n",
			 1 } } },
	{ .id = "lint_style",
	  .category = "lint_failure",
	  .subcategory = "style",
	  .place = IN_LINT,
	  .weight = 7,
	  .stories = { { "npx eslint .",
			 "\n"
			 "/home/runner/work/{svc}/{svc}/src/{tsfile}\n"
			 "  {line}:{col}  error  '{func}' is assigned a value but never used  "
			 "no-unused-vars\n"
			 "\n"
			 "✖ 1 problem (1 error, 0 warnings)\n"
			 "\n",
			 1 },
		       { "ruff check .",
			 "src/{pymod}.py:{line}:{col}: F401 [*] `os.{func}` imported but unused\n"
			 "Found 1 error.\n"
			 "[*] 1 fixable with the `--fix` option.\n",
			 1 },
		       { "black --check .",
			 "would reformat src/{pymod}.py\n"
			 "\n"
			 "Oh no! 💥 💔 💥\n"
			 "1 file would be reformatted, {count} files would be left unchanged.\n",
			 1 } } },
	{ .id = "dependency_missing",
	  .category = "dependency_failure",
	  .subcategory = "unresolved",
	  .place = IN_BUILD,
	  .weight = 6,
	  .stories = { { "npm ci",
			 "npm ERR! code ETARGET\n"
			 "npm ERR! notarget No matching version found for {npm}@^{big}.0.0.\n"
			 "npm ERR! notarget In most cases you or one of your dependencies are "
			 "requesting\n"
			 "npm ERR! notarget a package version that doesn't exist.\n",
			 1 },
		       { "pip install -r requirements.txt",
			 "Collecting {pip}=={big}.0.1\n"
			 "ERROR: Could not find a version that satisfies the requirement "
			 "{pip}=={big}.0.1 (from versions: 1.0.0, "
			 "1.1.0, 2.0.0)\n"
			 "ERROR: No matching distribution found for {pip}=={big}.0.1\n",
			 1 },
		       { "npm install",
			 "npm ERR! code ERESOLVE\n"
			 "npm ERR! ERESOLVE unable to resolve dependency tree\n"
			 "npm ERR! \n"
			 "npm ERR! While resolving: {svc}@1.{minor}.0\n"
			 "npm ERR! Found: {npm}@4.{minor}.1\n"
			 "npm ERR! Could not resolve dependency:\n"
			 "npm ERR! peer {npm}@\"^3.0.0\" from {npm}-plugin@2.1.0\n",
			 1 } } },
	{ .id = "deploy_rollout",
	  .category = "deployment_failure",
	  .subcategory = "rollout",
	  .place = IN_DEPLOY,
	  .weight = 6,
	  .stories = { { "kubectl rollout status deployment/{svc} --timeout=300s",
			 "Waiting for deployment \"{svc}\" rollout to finish: 1 out of 3 new "
			 "replicas have been updated...\n"
			 "Waiting for deployment \"{svc}\" rollout to finish: 1 out of 3 new "
			 "replicas have been updated...\n"
			 "error: deployment \"{svc}\" exceeded its progress deadline\n",
			 1 },
		       { "helm upgrade --install {svc} ./chart --wait",
			 "Error: UPGRADE FAILED: release {svc} failed, and has been rolled back "
			 "due to atomic being set: context "
			 "deadline exceeded\n",
			 1 },
		       { "terraform apply -auto-approve",
			 "╷\n"
			 "│ Error: creating ECS Service ({svc}): InvalidParameterException: The "
			 "container {svc} does not exist in "
			 "the task definition.\n"
			 "│ \n"
			 "│   with aws_ecs_service.{svc2},\n"
			 "│   on service.tf line {line}, in resource \"aws_ecs_service\" "
			 "\"{svc2}\":\n"
			 "╵\n",
			 1 } } },
	{ .id = "timeout_step",
	  .category = "timeout",
	  .subcategory = "step",
	  .place = IN_TEST,
	  .weight = 4,
	  .stories = { { "npm run test:integration",
			 "waiting for {svc} to answer on port {port} ...\n"
			 "waiting for {svc} to answer on port {port} ...\n"
			 "##[error]The action 'Run npm run test:integration' has timed out after "
			 "20 minutes.\n",
			 0 } } },
	{ .id = "lint_format",
	  .category = "lint_failure",
	  .subcategory = "style",
	  .place = IN_LINT,
	  .stories = { { "clang-format --dry-run -Werror src/main.c",
			 "src/main.c:1:4: error: code should be clang-formatted "
			 "[-Wclang-format-violations]\n"
			 "int  main(void) {return 0;}\n"
			 "   ^\n",
			 1 } } },
	{ .id = "test_snapshot",
	  .category = "test_failure",
	  .subcategory = "assertion",
	  .place = IN_TEST,
	  .stories = { { "npm test",
			 "FAIL ./greet.test.js\n"
			 "  ✕ greets ({~small} ms)\n"
			 "\n"
			 "  ● greets\n"
			 "\n"
			 "    expect(received).toMatchSnapshot()\n"
			 "\n"
			 "    Snapshot name: `greets 1`\n"
			 "\n"
			 "    Snapshot: \"hallo\"\n"
			 "    Received: \"hello\"\n"
			 "\n"
			 "    > 1 | test('greets', () => {\n"
			 "        |                      ^\n"
			 "\n"
			 "      at Object.toMatchSnapshot (greet.test.js:2:18)\n"
			 "\n"
			 " › 1 snapshot failed.\n"
			 "Snapshot Summary\n"
			 " › 1 snapshot failed from 1 test suite. Inspect your code changes or "
			 "run `npm test -- -u` to update them.\n"
			 "\n"
			 "Test Suites: 1 failed, 1 total\n"
			 "Tests:       1 failed, 1 total\n"
			 "Snapshots:   1 failed, 1 total\n"
			 "Ran all test suites.\n",
			 1 } } },
	{ .id = "timeout_test",
	  .category = "timeout",
	  .subcategory = "test",
	  .place = IN_TEST,
	  .stories = { { "python -m pytest tests",
			 "tests/test_stock.py F                    [ {small}%]\n"
			 "E       Failed: Timeout >30.0s\n"
			 "tests/test_stock.py:41: Failed\n",
			 1 } } },
	{ .id = "timeout_job",
	  .category = "timeout",
	  .subcategory = "job",
	  .place = IN_TEST,
	  .conclusion = "timed_out",
	  .weight = 2,
	  .stories = { { "./run-e2e.sh",
			 "[{small}/{count}] {func}\n"
			 "##[error]The job running on runner GitHub Actions {~num} has exceeded "
			 "the maximum execution time of 60 "
			 "minutes.\n"
			 "##[error]The operation was canceled.\n",
			 0 } } },
	{ .id = "oom",
	  .category = "resource_exhaustion",
	  .subcategory = "oom",
	  .place = IN_BUILD,
	  .weight = 5,
	  .stories = { { "npm run build",
			 "<--- Last few GCs --->\n"
			 "\n"
			 "[{~num}:0x{~hex8}]    {~num7} ms: Mark-sweep 2046.{~small} "
			 "(2082.{~small}) -> 2045.{~small} (2083.{~small}) MB\n"
			 "\n"
			 "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out "
			 "of memory\n"
			 " 1: 0xb{~hex8} node::Abort() [node]\n"
			 "Aborted (core dumped)\n",
			 134 },
		       { "make -j16",
			 "g++ -O2 -c -o {cfile}.o src/{cfile}\n"
			 "g++: fatal error: Killed signal terminated program cc1plus\n"
			 "compilation terminated.\n"
			 "make: *** [Makefile:{small}: {cfile}.o] Error 1\n",
			 2 } } },
	{ .id = "disk_full",
	  .category = "resource_exhaustion",
	  .subcategory = "disk_full",
	  .place = IN_BUILD,
	  .weight = 4,
	  .stories = { { "docker build -t {image} .",
			 "#12 ERROR: failed to copy files: copy file range failed: no space left "
			 "on device\n"
			 "ERROR: failed to solve: failed to copy files: copy file range failed: no "
			 "space left on device\n",
			 1 },
		       { "./gradlew assemble",
			 "> Task :{svc}:mergeReleaseResources FAILED\n"
			 "FAILURE: Build failed with an exception.\n"
			 "* What went wrong:\n"
			 "java.io.IOException: No space left on device\n",
			 1 } } },
	{ .id = "auth_denied",
	  .category = "auth_failure",
	  .subcategory = "registry",
	  .place = IN_BUILD,
	  .weight = 5,
	  .stories = { { "docker push ghcr.io/example/{svc}:latest",
			 "The push refers to repository [ghcr.io/example/{svc}]\n"
			 "denied: permission_denied: write_package\n",
			 1 },
		       { "npm ci",
			 "npm ERR! code E401\n"
			 "npm ERR! 401 Unauthorized - GET https://{host}/@{svc}%2f{npm} - "
			 "unauthenticated: User cannot be "
			 "authenticated with the token provided.\n",
			 1 },
		       { "aws s3 sync dist/ s3://{svc}-assets",
			 "fatal error: An error occurred (ExpiredToken) when calling the "
			 "ListObjectsV2 operation: The provided "
			 "token has expired.\n",
			 1 } } },
	{ .id = "config_env",
	  .category = "config_error",
	  .subcategory = "missing_setting",
	  .place = IN_BUILD,
	  .weight = 4,
	  .stories = { { "actions/setup-node@v4",
			 "##[error]The specified node version file at: "
			 "/home/runner/work/{svc}/{svc}/.nvmrc does not exist\n",
			 0 },
		       { "helm lint ./chart",
			 "==> Linting ./chart\n"
			 "[ERROR] values.yaml: unable to parse YAML: error converting YAML to "
			 "JSON: yaml: line {line}: mapping "
			 "values are not allowed in this context\n"
			 "Error: 1 chart(s) linted, 1 chart(s) failed\n",
			 1 } } },
	{ .id = "config_action",
	  .category = "config_error",
	  .subcategory = "action",
	  .place = IN_ANY,
	  .weight = 2,
	  .stories = { { "example/{svc}-action@v9",
			 "##[error]Unable to resolve action `example/{svc}-action@v9`, unable to "
			 "find version `v9`\n",
			 0 } } },
	{ .id = "startup_failure",
	  .category = "config_error",
	  .subcategory = "workflow",
	  .place = IN_NO_JOB,
	  .conclusion = "startup_failure",
	  .weight = 2,
	  .stories = { { "", "", 0 } } },
	{ .id = "merge_conflict",
	  .category = "scm_failure",
	  .subcategory = "merge_conflict",
	  .place = IN_BUILD,
	  .weight = 3,
	  .stories = { { "git merge --no-edit origin/main",
			 "Auto-merging src/{cfile}\n"
			 "CONFLICT (content): Merge conflict in src/{cfile}\n"
			 "Automatic merge failed; fix conflicts and then commit the result.\n",
			 1 } } },
	{ .id = "unknown_exit",
	  .category = "unknown",
	  .subcategory = "",
	  .place = IN_TEST,
	  .weight = 3,
	  .stories = { { "./scripts/nightly.sh",
			 "phase one of {func} took {~num} ms\n"
			 "phase two of {func} took {~num} ms\n",
			 42 },
		       { "./bin/{svc} --self-check", "self-check of {svc}\n", 3 } } },
	{ .id = "cancelled",
	  .category = "unknown",
	  .subcategory = "cancelled",
	  .place = IN_ANY,
	  .conclusion = "cancelled",
	  .weight = 1,
	  .stories = { { "npm test", "##[error]The operation was canceled.\n", 0 } } },
	/* By its name only: worlds that are drawn stay what they were. */
	{ .id = "lockfile_stale",
	  .category = "dependency_failure",
	  .subcategory = "unresolved",
	  .place = IN_BUILD,
	  .weight = 0,
	  .stories = { { "npm ci",
			 "npm ERR! code EUSAGE\n"
			 "npm ERR! \n"
			 "npm ERR! `npm ci` can only install packages when your package.json and "
			 "package-lock.json are in sync. Please update your lock file with `npm "
			 "install` before continuing.\n"
			 "npm ERR! \n"
			 "npm ERR! Missing: {npm}@4.{minor}.1 from lock file\n",
			 1 } } },
};
const size_t n_causes = ARRAY_LEN(causes);

const struct cause *cause_find(const char *name)
{
	for (size_t i = 0; i < n_causes; i++)
		if (strcmp(causes[i].id, name) == 0)
			return &causes[i];
	for (size_t i = 0; i < n_causes; i++)
		if (strcmp(causes[i].category, name) == 0)
			return &causes[i];
	return NULL;
}

unsigned cause_stories(const struct cause *c)
{
	unsigned n = 0;

	while (n < STORIES_MAX && c->stories[n].command)
		n++;
	return n;
}
