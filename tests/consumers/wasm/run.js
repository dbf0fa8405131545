// Prints what trained_crc32 returns. Usage: node run.js PROGRAM.wasm
// SPDX-License-Identifier: BSD-3-Clause
const bytes = require("fs").readFileSync(process.argv[2]);
WebAssembly.instantiate(bytes).then(({ instance }) => {
    const crc32 = instance.exports.trained_crc32() >>> 0;
    console.log(crc32.toString(16).padStart(8, "0"));
});
