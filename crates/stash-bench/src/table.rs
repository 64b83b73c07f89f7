//! Printing what was measured, so that a line can be read by itself.

use crate::contest::{Spread, Standing};

/// What the project promises of a ratio.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Cost: no more than so many times the other's.
    AtMost(f64),
    /// Throughput: at least so many times the other's.
    AtLeast(f64),
}

/// Which figure of a measurement a line is about.
#[derive(Debug, Clone, Copy)]
pub enum Figure {
    /// The time of the operation in the middle.
    Median,
    /// The mean time.
    Mean,
    /// The time that 99 in 100 operations stay below.
    Slow,
    /// Operations a second, from the mean.
    Throughput,
    /// The same, where so many are under way at any time.
    ThroughputOf(u32),
}

/// Prints a heading.
pub fn heading(text: &str) {
    println!("\n{text}");
    println!("  {:<66} {:>11} {:>11} {:>7} {:>7}  target", "", "this", "against", "ratio", "±");
}

/// Prints one side against another, and whether the target was met in this run.
pub fn row(what: &str, figure: Figure, this: &Standing, against: &Standing, target: Option<Target>) {
    let (own, other, ratio) = match figure {
        Figure::Median => (time(this.median), time(against.median), this.median_ratio),
        Figure::Mean => (time(this.mean), time(against.mean), this.mean_ratio),
        Figure::Slow => (time(this.slow), time(against.slow), this.slow_ratio),
        Figure::Throughput | Figure::ThroughputOf(_) => {
            let at_once = if let Figure::ThroughputOf(count) = figure { f64::from(count) } else { 1.0 };
            let Spread { median, deviation } = this.mean_ratio;
            let ratio = Spread { median: 1.0 / median, deviation: deviation / (median * median) };
            (rate(this.mean / at_once), rate(against.mean / at_once), ratio)
        }
    };
    let verdict = match target {
        None => String::new(),
        Some(Target::AtMost(limit)) => verdict("<=", limit, ratio.median <= limit),
        Some(Target::AtLeast(limit)) => verdict(">=", limit, ratio.median >= limit),
    };
    println!("  {what:<66} {own:>11} {other:>11} {:>7.2} {:>7.2}  {verdict}", ratio.median, ratio.deviation);
}

fn verdict(sign: &str, limit: f64, met: bool) -> String {
    format!("{sign} {limit:.1}  {}", if met { "met" } else { "NOT MET" })
}

fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.2} us", n / 1e3),
        n => format!("{:.2} ms", n / 1e6),
    }
}

fn rate(nanos: f64) -> String {
    format!("{:.0}/s", 1e9 / nanos)
}
