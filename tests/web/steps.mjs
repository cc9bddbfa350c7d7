// What scenarios.mjs and vectors.mjs share: files of steps, each with what it has to give.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

/** For each file of the command line: make(its JSON) gives (name, call, args, wanted) => what came of a step. */
export async function playAll(make) {
  for (const file of process.argv.slice(2)) {
    try {
      const data = JSON.parse(readFileSync(file));
      const step = await make(data);
      for (const [number, [name, call, args, wanted]] of data.steps.entries()) {
        const got = step(name, call, args, wanted);
        if (!isDeepStrictEqual(got, wanted)) {
          const said = `step ${number}, ${name}.${call}(${JSON.stringify(args)})`;
          throw new Error(`${said}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
        }
      }
      console.log(`ok ${file}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`FAILED ${file}: ${error.message}`);
    }
  }
}
