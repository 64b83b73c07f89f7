//! Measuring several ways to do one thing, in turn. Every ratio is of two measurements made within the same moment; a
//! side is never measured alone.

use anyhow::Result;

/// Runs one round of a side in the context `C`, and returns the nanoseconds of each operation, or of all together as
/// one figure an operation.
type Run<C> = Box<dyn FnMut(&mut C) -> Result<Vec<f64>>>;

/// Several ways to do one thing. Ratios are against the first.
pub struct Contest<C> {
    sides: Vec<Side<C>>,
}

struct Side<C> {
    name: String,
    run: Run<C>,
    rounds: Vec<Vec<f64>>,
}

/// What one side did.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What the side is called.
    pub name: String,
    /// The median of all operations, in nanoseconds.
    pub median: f64,
    /// The mean of all operations, in nanoseconds.
    pub mean: f64,
    /// Of all operations, 99 in 100 took less, in nanoseconds.
    pub slow: f64,
    /// The medians of the operations of each round, over those of the first side.
    pub median_ratio: Spread,
    /// The means of the operations of each round, over those of the first side.
    pub mean_ratio: Spread,
    /// What 99 in 100 operations of each round took less than, over that of the first side.
    pub slow_ratio: Spread,
}

/// Where most of some figures lie.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// Half of the figures are above it.
    pub median: f64,
    /// The median of their distances from it.
    pub deviation: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Self {
        let middle = median(&mut figures);
        let mut distances: Vec<f64> = figures.iter().map(|figure| (figure - middle).abs()).collect();
        Self { median: middle, deviation: median(&mut distances) }
    }
}

impl<C> Contest<C> {
    /// A contest against one way to do it.
    pub fn against(name: &str, run: impl FnMut(&mut C) -> Result<Vec<f64>> + 'static) -> Self {
        Self { sides: Vec::new() }.with(name, run)
    }

    /// Another way to do it.
    #[must_use]
    pub fn with(mut self, name: &str, run: impl FnMut(&mut C) -> Result<Vec<f64>> + 'static) -> Self {
        self.sides.push(Side { name: name.to_owned(), run: Box::new(run), rounds: Vec::new() });
        self
    }

    /// Runs all sides in turn, `rounds` times, each round beginning with another one. A tenth as many rounds before are
    /// not counted.
    ///
    /// # Errors
    /// The first error of a side.
    pub fn run(mut self, context: &mut C, rounds: usize) -> Result<Vec<Standing>> {
        let warm_up = rounds / 10 + 1;
        let count = self.sides.len();
        for round in 0..warm_up + rounds {
            for turn in 0..count {
                let side = &mut self.sides[(round + turn) % count];
                let figures = (side.run)(context)?;
                if round >= warm_up {
                    side.rounds.push(figures);
                }
            }
        }
        Ok(self.sides.iter().map(|side| side.standing(&self.sides[0])).collect())
    }
}

impl<C> Side<C> {
    fn standing(&self, against: &Self) -> Standing {
        let mut all = self.rounds.concat();
        let ratio = |figure: fn(&[f64]) -> f64| {
            let pairs = self.rounds.iter().zip(&against.rounds);
            Spread::of(pairs.map(|(own, other)| figure(own) / figure(other)).collect())
        };
        Standing {
            name: self.name.clone(),
            mean: mean(&all),
            median: median(&mut all),
            slow: slow(&mut all),
            median_ratio: ratio(|figures| median(&mut figures.to_vec())),
            mean_ratio: ratio(mean),
            slow_ratio: ratio(|figures| slow(&mut figures.to_vec())),
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len() as f64
}

/// The 99th of 100.
fn slow(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get((figures.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.is_empty() {
        f64::NAN
    } else if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        f64::midpoint(figures[middle - 1], figures[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        // The machine gets ten times slower in each round; the second side always takes twice as long.
        let slow = |turn: &mut i32| {
            *turn += 1;
            10_f64.powi((*turn - 1) / 2)
        };
        let standings = Contest::against("one", move |turn| Ok(vec![slow(turn)]))
            .with("two", move |turn| Ok(vec![2.0 * slow(turn)]))
            .run(&mut 0, 9)
            .unwrap();
        for ratio in [standings[1].median_ratio, standings[1].mean_ratio] {
            assert!((ratio.median - 2.0).abs() < 1e-9 && ratio.deviation < 1e-9, "{ratio:?}");
        }
    }

    #[test]
    fn one_in_a_hundred_is_slower() {
        let mut figures: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert!((slow(&mut figures) - 198.0).abs() < 1e-9);
        assert!((slow(&mut [7.0]) - 7.0).abs() < 1e-9);
        assert!(slow(&mut []).is_nan());
    }

    #[test]
    fn the_spread_is_not_moved_by_one_outlier() {
        let spread = Spread::of(vec![1.0, 1.1, 0.9, 50.0, 1.0]);
        assert!((spread.median - 1.0).abs() < 1e-9);
        assert!(spread.deviation < 0.11);
        assert!(Spread::of(Vec::new()).median.is_nan());
    }
}
