//! Rounds, medians and the table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How many were done in how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate(pub(crate) f64);

impl Rate {
    pub(crate) fn of(done: usize, took: Duration) -> Self {
        let done = u32::try_from(done).unwrap_or(u32::MAX);
        Self(f64::from(done) / took.as_secs_f64())
    }
}

/// Runs `step` on `workers` tasks, again and again, for at least `time`. `step` gets the worker and its turn.
pub(crate) async fn for_a_while<F>(
    workers: usize,
    time: Duration,
    step: impl Fn(usize, usize) -> F + Clone + Send + 'static,
) -> anyhow::Result<Rate>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..workers {
        let step = step.clone();
        tasks.spawn(async move {
            let mut turn = 0;
            while start.elapsed() < time {
                step(worker, turn).await?;
                turn += 1;
            }
            anyhow::Ok(turn)
        });
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        done += ended??;
    }
    Ok(Rate::of(done, start.elapsed()))
}

/// The rates of one competitor, round by round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates(Vec<f64>);

impl Rates {
    pub(crate) fn push(&mut self, rate: Rate) {
        self.0.push(rate.0);
    }

    pub(crate) fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.0)
    }

    /// The median of the rounds' ratios.
    pub(crate) fn over(&self, floor: &Self) -> f64 {
        let ratios: Vec<f64> =
            self.0.iter().zip(&floor.0).map(|(ours, theirs)| ours / theirs).collect();
        median(&ratios)
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// What is printed at the end.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 5]>);

impl Table {
    /// Ours beside a floor: at least `expected` times as fast.
    pub(crate) fn rate(&mut self, what: &str, ours: &Rates, floor: (&str, &Rates), expected: f64) {
        let ratio = ours.over(floor.1);
        self.0.push([
            what.to_owned(),
            format!("{}/s", grouped(ours.median())),
            format!("{}: {}/s", floor.0, grouped(floor.1.median())),
            if ratio < 10.0 { format!("{ratio:.2} ×") } else { format!("{ratio:.0} ×") },
            format!("≥ {expected} × {}", verdict(ratio >= expected)),
        ]);
    }

    /// Ours beside a floor, for information.
    pub(crate) fn beside(&mut self, what: &str, ours: &Rates, floor: (&str, &Rates)) {
        self.0.push([
            what.to_owned(),
            format!("{}/s", grouped(ours.median())),
            format!("{}: {}/s", floor.0, grouped(floor.1.median())),
            format!("{:.2} ×", ours.over(floor.1)),
            "–".to_owned(),
        ]);
    }

    /// A rate that must reach a limit.
    pub(crate) fn at_least(&mut self, what: &str, rate: f64, note: &str, limit: f64) {
        self.0.push([
            what.to_owned(),
            format!("{}/s", grouped(rate)),
            note.to_owned(),
            "–".to_owned(),
            format!("≥ {}/s {}", grouped(limit), verdict(rate >= limit)),
        ]);
    }

    /// A figure that must stay below a limit.
    pub(crate) fn limit(&mut self, what: &str, value: f64, note: &str, limit: f64, unit: &str) {
        self.0.push([
            what.to_owned(),
            format!("{value:.2} {unit}"),
            note.to_owned(),
            "–".to_owned(),
            format!("≤ {limit} {unit} {}", verdict(value <= limit)),
        ]);
    }

    /// Times in ms beside others, for information.
    pub(crate) fn times(&mut self, what: &str, ours: f64, floor: (&str, f64)) {
        self.0.push([
            what.to_owned(),
            format!("{ours:.1} ms"),
            format!("{}: {:.1} ms", floor.0, floor.1),
            format!("{:.2} ×", ours / floor.1),
            "–".to_owned(),
        ]);
    }

    pub(crate) fn render(&self) -> String {
        let head = ["figure (medians of the rounds)", "ours", "beside", "ratio", "expected"]
            .map(str::to_owned);
        let width = |column: usize| {
            let cells = std::iter::once(&head).chain(&self.0);
            cells.map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = String::new();
        for (number, row) in std::iter::once(&head).chain(&self.0).enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} "); // a `String` takes everything
            }
            text.push_str("|\n");
            if number == 0 {
                for width in &widths {
                    let _ = write!(text, "|{}", "-".repeat(width + 2));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

fn verdict(held: bool) -> &'static str {
    if held { "✔" } else { "✘" }
}

/// A whole number with its thousands set apart.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
