import * as core from "@coalmine/core";
const x: number = 1;
console.log("hi", core, x, process.versions.node);
