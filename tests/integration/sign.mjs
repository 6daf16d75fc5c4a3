// Signs files with the signer GitHub publishes: node sign.mjs SECRET_FILE FILE...
// Runs from the folder where @octokit/webhooks-methods was installed.
import { readFileSync } from "node:fs";
import { sign, verify } from "@octokit/webhooks-methods";

const [secretFile, ...files] = process.argv.slice(2);
const secret = readFileSync(secretFile, "utf8").trim();
for (const file of files) {
	const body = readFileSync(file, "utf8");
	const signature = await sign(secret, body);
	if (!(await verify(secret, body, signature))) throw new Error(`${file} does not verify`);
	console.log(`signed ${signature}`);
}
console.log("signed all");
