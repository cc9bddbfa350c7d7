// Reads the panels of panels.json as the page does; a line for each: its name, a tab, what was found:  node panels.mjs FILE
import { readFileSync } from "node:fs";
import { PanelError, readPanel } from "../../build/out/web/panel.js";

function read(declared) {
  try {
    return { items: readPanel(declared) };
  } catch (error) {
    if (error instanceof PanelError) return { error: error.message };
    throw error;
  }
}

for (const { name, panel } of JSON.parse(readFileSync(process.argv[2]))) {
  console.log(`${name}\t${JSON.stringify(read(panel))}`);
}
