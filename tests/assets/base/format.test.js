// Numbers for people, each with what a person reads; no-break spaces are written as spaces.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  axis,
  count,
  csv,
  duration,
  mebibytes,
  number,
  percent,
  rate,
  speed,
  tick,
  value,
} from "../../../assets/base/format.js";

const READ = [
  [number(0.0312345), "0.0312"],
  [number(2.3), "2.30"],
  [number(0), "0"],
  [number(1234.4), "1,234"],
  [number(999.6), "1,000"],
  [number(3.2e-5), "3.2e-5"],
  [number(-0.5), "\u22120.500"],
  [number(4.2e7), "4.2e7"],
  [number(Number.NaN), "NaN"],
  [number(Infinity), "\u221e"],
  [number(-Infinity), "\u2212\u221e"],
  [number(null), "\u2013"],
  [number(undefined), "\u2013"],
  [rate(1e-4), "1e-4"],
  [rate(0.001), "1e-3"],
  [rate(2.5e-4), "2.5e-4"],
  [rate(0.05), "0.05"],
  [rate(0), "0"],
  [percent(0.9478), "94.8 %"],
  [percent(1), "100 %"],
  [percent(0), "0 %"],
  [percent(0.99999), "99.99 %"],
  [percent(0.9996), "99.96 %"],
  [mebibytes(81.2), "81 MiB"],
  [mebibytes(1945.6), "1.9 GiB"],
  [mebibytes(24576), "24 GiB"],
  [mebibytes(1010), "1 GiB"],
  [mebibytes(0.5), "0.5 MiB"],
  [duration(0.2), "< 1 s"],
  [duration(12.4), "12 s"],
  [duration(72), "1 min 12 s"],
  [duration(59.6), "1 min"],
  [duration(840), "14 min"],
  [duration(3570), "1 h"],
  [duration(7500), "2 h 5 min"],
  [duration(360000), "4 d 4 h"],
  [speed(212.4), "212 img/s"],
  [speed(8.42), "8.4 img/s"],
  [speed(1234), "1,234 img/s"],
  [count(12345), "12,345"],
  [count(999), "999"],
  [ago(30), "just now"],
  [ago(7200), "2 h ago"],
  [tick(20000), "20k"],
  [tick(0.5), "0.5"],
  [tick(1500000), "1.5M"],
  [axis("fraction", 0.955), "95.5 %"],
  [axis("memory", 1536), "1.5 GiB"],
  [axis("rate", 0), "0"],
  [csv('a,"b" c'), '"a,""b"" c"'],
  [csv(0.1 + 0.2), "0.3"],
  [csv(null), ""],
];

test("numbers have sensible digits", () => {
  assert.deepEqual(
    READ.map(([text]) => text.replaceAll("\u00a0", " ")),
    READ.map(([, text]) => text),
  );
});

test("a kind that is not known is printed as a number", () => {
  assert.equal(value("fraction", 0.5), percent(0.5));
  assert.equal(value("no such kind", 0.5), number(0.5));
});

test("no number is an axis label of its own: neighbours share their digits", () => {
  assert.deepEqual(
    [0.1, 0.15, 0.2].map((share) => axis("fraction", share).replace("\u00a0", " ")),
    ["10 %", "15 %", "20 %"],
  );
});
