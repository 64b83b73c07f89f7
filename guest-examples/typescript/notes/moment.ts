// Times as people write and read them. It must never depend on the store, so that it can be tested anywhere.

const UNITS: Record<string, bigint> = { s: 1_000n, m: 60_000n, h: 3_600_000n, d: 86_400_000n };

/** Milliseconds in a number with a unit: `90s`, `5m`, `12h`, `7d`. */
export function millis(text: string): bigint {
  const [, digits = "0", unit = "s"] = /^([0-9]+)([smhd])$/.exec(text) ?? [];
  const millis = BigInt(digits) * UNITS[unit]!;
  if (millis === 0n || millis !== BigInt.asUintN(64, millis)) {
    throw new Error(`'${text}' is no time: write a number and a unit, such as 90s, 5m, 12h or 7d`);
  }
  return millis;
}

/** A moment in milliseconds since 1970, as `2026-11-21 11:16` in UTC. */
export function shown(millis: bigint): string {
  // Years from 10000 on begin with a plus sign and zeros; no record of a store stays for longer than `Date` can tell.
  return new Date(Number(millis)).toISOString().replace(/^\+0*/, "").replace("T", " ").slice(0, -8);
}
