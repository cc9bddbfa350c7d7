"""picolink.js on Node: vectors, scenarios, links in memory, and with Python in another process."""

import asyncio
import json
import random
import re
import runpy
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import engines
import picolink
import pytest
import scenario_suite
from picolink import engine as picolink_engine
from picolink import flags, lifecycle, wire
from picolink.link import Link
from picolink.runtime import ticks_ms

TESTS = Path(__file__).parent
ROOT = TESTS.parent
WEB = ROOT / "build/out/web"
WITHOUT_KEYS = ROOT / "build/out/web-without-keys"
MODULES = sorted(file.name for file in (ROOT / "web/src").glob("picolink*.js"))
SCENARIOS = sorted((TESTS / "scenarios").glob("*.json"))
VECTORS = sorted((TESTS / "vectors").glob("*.json"))
KIB = 1024
KEY = "picolink-key-" + "00" * 32 + "-190a55ad"


def node(script, *arguments):
    engines.product(WEB / "picolink.wasm", "web")
    return engines.run(["node", TESTS / "web" / script, *arguments], None)


@cache
def lines(script, *arguments):
    """Each test's line by its name; what else was printed."""
    done = node(script, *arguments)
    found = {line.split(":")[0].split(" ", 1)[-1]: line for line in done.stdout.splitlines()}
    return found, done.stdout + done.stderr


def names_of(pattern, text):
    return re.findall(pattern, text, re.MULTILINE)


@pytest.mark.parametrize(("folder", "limit"), [(WEB, 20 * KIB), (WITHOUT_KEYS, 12 * KIB)])
def test_the_engine_needs_nothing_and_is_small(folder, limit):
    script = (
        "const m = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));"
        "console.log(WebAssembly.Module.imports(m).length)"
    )
    module = engines.product(folder / "picolink.wasm", "web")
    done = subprocess.run(["node", "-e", script, module], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert module.stat().st_size <= limit


def test_picolink_js_is_small():
    """And what not every page needs is not in it."""
    sizes = {name: engines.product(WEB / name, "web").stat().st_size for name in MODULES}
    assert sizes["picolink.js"] <= 20 * KIB
    assert sizes["picolink-objects.js"] <= 4 * KIB
    assert sizes["picolink-files.js"] <= 6 * KIB
    assert "WebSocket" not in (WEB / "picolink.js").read_text()


@pytest.mark.parametrize("file", VECTORS, ids=lambda file: file.stem)
def test_vectors(file):
    found, output = lines("vectors.mjs", *VECTORS)
    assert found.get(str(file)) == f"ok {file}", output


def test_vectors_on_the_engine_without_keys(tmp_path):
    """All but those with a key, which it says that it lacks."""
    site = tmp_path / "build/out/web"
    shutil.copytree(WEB, site)
    shutil.copy(WITHOUT_KEYS / "picolink.wasm", site)
    scripts = shutil.copytree(TESTS / "web", tmp_path / "tests/web")
    command = ["node", scripts / "vectors.mjs", *VECTORS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    keyed = [file for file in VECTORS if '"key"' in file.read_text()]
    found = {line.split(":")[0].split(" ", 1)[-1]: line for line in done.stdout.splitlines()}
    lacks = "FAILED {}: this picolink.wasm was built without keys"
    assert len(keyed) < len(VECTORS) / 2
    assert found == {str(file): (lacks if file in keyed else "ok {}").format(file) for file in VECTORS}


def test_recorded_vectors_and_that_a_wrong_one_is_found(tmp_path):
    record = runpy.run_path(str(TESTS / "vectors/record.py"))
    for name in ("hostile", "busy"):
        for seed in range(3):
            exchange = {"engines": {}, "steps": []}
            record[name](exchange, seed)
            (tmp_path / f"{name}{seed}.json").write_text(json.dumps(exchange))
    packet = [step for step in exchange["steps"] if step[1] == "pull_into" and step[3]][-1]
    packet[3] = "00"
    (tmp_path / "wrong.json").write_text(json.dumps(exchange))
    done = node("vectors.mjs", *sorted(tmp_path.glob("*.json")))
    *right, wrong = done.stdout.splitlines()
    assert len(right) == 6 and all(line.startswith("ok ") for line in right), done.stdout
    assert wrong.startswith(f"FAILED {tmp_path / 'wrong.json'}: step ") and "pull_into" in wrong
    assert done.returncode == 1


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
@pytest.mark.parametrize("policy", ["CPython", "MicroPython", "JavaScript"])
def test_scenarios(policy, file):
    if policy == "CPython":
        scenario_suite.play(file)
        return
    if policy == "JavaScript":
        found, output = lines("scenarios.mjs", *SCENARIOS)
    else:
        found, output = on_micropython()
    assert found.get(str(file)) == f"ok {file}", output


@cache
def on_micropython():
    done = engines.micropython("scenario_suite.py", *SCENARIOS)
    found = {line.split(":")[0].split(" ", 1)[-1]: line for line in done.stdout.splitlines()}
    return found, done.stdout + done.stderr


def test_scenarios_are_what_their_script_writes():
    make = runpy.run_path(str(TESTS / "scenarios/make.py"))
    written = {file.name: file.read_text() for file in SCENARIOS}
    assert make["texts"]() == written, "run 'python tests/scenarios/make.py' and look at the difference"


@pytest.mark.parametrize("policy", ["scenario_suite.py", "scenarios.mjs"])
def test_a_decision_that_differs_is_found(policy, tmp_path):
    """Of each kind, in a scenario that has all."""
    scenario = json.loads((TESTS / "scenarios/silence.json").read_text())
    for number, step in enumerate(scenario["steps"]):
        kinds = ("result", "packets", "told", "bells", "states")
        for kind in kinds if number % 50 == 40 else ():
            changed = json.loads(json.dumps(scenario))
            changed["steps"][number][3][kind] = ["another"]
            (tmp_path / f"{number}-{kind}.json").write_text(json.dumps(changed))
        assert set(step[3]) <= {*kinds, "closed"}
    files = sorted(tmp_path.glob("*.json"))
    assert len(files) >= 10
    if policy.endswith(".py"):
        done = engines.run([sys.executable, policy, *files], None)
    else:
        done = node(policy, *files)
    assert done.stdout.count("FAILED") == len(files), done.stdout + done.stderr


def test_constants_and_transitions_are_those_of_python():
    text = (ROOT / "web/src/lifecycle.js").read_text()
    states = {name: int(number) for name, number in names_of(r"\b([A-Z_]+) = (\d+)", text)}
    named = {name: number for name, number in vars(lifecycle).items() if name.isupper()}
    assert states == {name: number for name, number in named.items() if name not in ("ANY", "TRANSITIONS")}
    rows = names_of(r"^  \[(\w+), (\w+), (\w+)\],$", text)
    assert [tuple(vars(lifecycle)[name] for name in row) for row in rows] == list(lifecycle.TRANSITIONS)
    text = (ROOT / "web/src/engine.js").read_text()
    numbers = {name: int(number, 0) for name, number in names_of(r"\b([A-Z_]+) = (0x[0-9a-f]+|\d+)\b", text)}
    named = {name: number for name, number in vars(flags).items() if isinstance(number, int)}
    assert {name: numbers.get(name) for name in named} == named
    header = (ROOT / "native/picolink.h").read_text()
    stats = re.search(r'const STATS =\n((?:  ".*\n)+)', text)[1]
    assert "".join(names_of(r'"(.*)"', stats)).split() == names_of(r"^    X\((\w+)\)", header)
    assert list(flags.COUNTERS) == names_of(r"^    X\((\w+)\)", header)
    text = (ROOT / "web/src/wire.js").read_text()
    for name in ("SERVICE", "NOTIFY", "WRITE", "MTU", "NAME"):
        assert re.search(rf"\b{name} = \"?([\w-]+)", text)[1] == str(vars(wire)[name])


LINKS = names_of(r"^  async (\w+)\(", (TESTS / "web/links.mjs").read_text())


@pytest.mark.parametrize("name", LINKS)
def test_links_in_memory(name):
    found, output = lines("links.mjs", *LINKS)
    assert found.get(name) == f"ok {name}", output


class Pipe:
    """The role of a side whose other one is in another process: see tests/web/pipe.mjs."""

    TROUBLES = (OSError,)
    name = "Pipe"
    identity = b"a python"
    folder = ""
    irq_errors = 0
    TEND_MS = 10
    handle = -1

    def __init__(self, process):
        self._process = process

    def serve(self, policy):
        self._policy = policy
        policy.transmit = lambda packet: self._process.stdin.write(packet.hex().encode() + b"\n")

    async def claim(self):
        pass

    async def establish(self):
        self._policy.adopt(ticks_ms(), "pipe", "pipe")
        self.handle = 0
        self._policy.call(247)

    async def hang_up(self):
        self.handle = -1
        return True

    def release(self):
        return True

    def restart(self):
        pass

    def tend(self):
        pass

    async def read(self):
        """Feed packets until the other process says what it has counted."""
        async for line in self._process.stdout:
            if line.startswith(b"="):
                return json.loads(line[1:])
            self._policy.feed(bytes.fromhex(line.decode()), ticks_ms())
        return None


@pytest.mark.parametrize("key", [None, KEY], ids=["open", "keyed"])
@pytest.mark.parametrize("engine", ["python", "native"])
def test_a_link_with_another_process(engine, key):
    count = 2000

    async def main():
        command = ["node", str(TESTS / "web/pipe.mjs"), str(count), *([key] if key else [])]
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(*command, **pipes)
        role = Pipe(process)
        reading = asyncio.create_task(role.read())
        got = []
        async with Link(role, engine=engine, key=key or False) as link:

            async def receive():
                while len(got) < count:
                    got.append((await link.recv(), link.channel))

            receiving = asyncio.create_task(receive())
            for number in range(count):
                await link.send(f"from python {number}", number % 16)
            await receiving
        counters = await reading
        await process.wait()
        return got, counters

    got, counters = asyncio.run(asyncio.wait_for(main(), 60))
    texts = [(message if isinstance(message, str) else message.decode(), channel) for message, channel in got]
    assert texts == [(f"from node {number}", number % 16) for number in range(count)]
    assert counters["received"] == counters["messages_acknowledged"] == count
    assert picolink_engine.load(engine)[1] == engine


def test_files_with_another_process(tmp_path):
    """From Python to JavaScript and back: both speak what docs/files.md says."""
    contents = {"a/large.bin": random.Random(1).randbytes(100_000), "empty": b"", "last": b"x" * 1024}
    (tmp_path / "given").write_bytes(b"given away")
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    async def main():
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec("node", str(TESTS / "web/files.mjs"), **pipes)
        role = Pipe(process)
        reading = asyncio.create_task(role.read())
        came = []
        async with Link(role, engine="native", key=False) as link:
            for name in contents:
                sending = asyncio.create_task(picolink.send_file(link, tmp_path / name, name))
                if not came:
                    receiving = picolink.receive_files(link, str(tmp_path), give=True)
                came.append(await anext(receiving))
                await sending
            came += [await anext(receiving), await anext(receiving)]
        seen = await reading
        await process.wait()
        return seen, came

    seen, came = asyncio.run(asyncio.wait_for(main(), 60))
    assert seen == [[name, len(content)] for name, content in contents.items()]
    assert came == [f"{tmp_path}/back/{name}" for name in (*contents, "missing", "given")]
    for name, content in contents.items():
        assert (tmp_path / "back" / name).read_bytes() == content
    assert (tmp_path / "back/given").read_bytes() == b"given away"
    assert (tmp_path / "back/missing").read_text() == "FileError: there is no file 'missing'"


def test_npm_packs_it_and_it_imports_in_an_empty_folder(tmp_path):
    def npm(*arguments):
        done = subprocess.run(["npm", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    (packed,) = json.loads(npm("pack", "--json", WEB))
    names = {file["path"] for file in packed["files"]}
    code = {*MODULES, "picolink.wasm", "picolink.d.ts"}
    code |= {f"picolink-{part}.d.ts" for part in ("files", "memory", "websocket")}
    assert names == code | {"LICENSE", "package.json"}
    npm("install", "--offline", "--no-audit", "--no-fund", packed["filename"])
    assert not json.loads((WEB / "package.json").read_text()).get("dependencies")
    program = (
        "import { advertise, connect } from 'picolink'; import { Air } from 'picolink/memory';"
        "const more = { radio: new Air(), onEvent() {} };"
        "const a = advertise('A', { ...more, identity: new Uint8Array(8).fill(1) });"
        "const b = await connect('A', more);"
        "await b.send({ works: true });"
        "console.log(await (await a).recv()); process.exit()"
    )
    command = ["node", "--input-type=module", "-e", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "{ works: true }\n"


def test_it_loads_where_a_browser_blocks_the_storage_of_a_site():
    program = (
        "Object.defineProperty(globalThis, 'localStorage', { get() { throw new Error('blocked'); } });"
        f"await import({json.dumps(str(WEB / 'picolink.js'))});"
    )
    subprocess.run(["node", "--input-type=module", "-e", program], check=True)


@pytest.mark.slow
def test_types_are_those_of_the_calls(tmp_path):
    """tsc takes a program that uses every call, by the package's name, and finds its mistakes."""
    tsc = engines.product(ROOT / "build/out/web-tests/node_modules/typescript/bin/tsc", "test")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/picolink").symlink_to(WEB)
    sample = (TESTS / "web/types.ts").read_text()
    (tmp_path / "types.ts").write_text(sample)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = {
        "noEmit": True,
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noUncheckedIndexedAccess": True,
    }
    options |= {
        "module": "nodenext",
        "target": "es2022",
        "lib": ["es2022", "dom"],
        "types": [],
        "skipDefaultLibCheck": True,
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["types.ts"]}))
    command = ["node", tsc, "--project", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
    for file in (ROOT / "web/src").glob("*.d.ts"):
        declared = names_of(r"^export (?:function|class|const|interface|type) \*?(\w+)", file.read_text())
        bodies = "".join(names_of(r"(?s)^export (?:interface|class) [^{]*\{(.*?)^\}", file.read_text()))
        members = names_of(r"^  (?:readonly )?(\w+)\??[(:]", bodies)
        assert declared
        for name in {*declared, *members} - {"constructor"}:
            assert re.search(rf"\b{name}\b", sample), f"{name} of {file.name} is not in types.ts"
        values = names_of(r"^export (?:function|class|const) (\w+)", file.read_text())
        module = WEB / file.name.replace(".d.ts", ".js")
        script = f"console.log(Object.keys(await import('{module}')).join())"
        done = subprocess.run(
            ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True
        )
        assert set(values) <= set(done.stdout.strip().split(",")), file.name
