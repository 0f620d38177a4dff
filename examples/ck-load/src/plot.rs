//! Throughput over time, as a picture.

use std::fmt::Write as _;
use std::time::Duration;

use crate::measure::{Mark, Measured, STEP};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 45.0;

/// Most marks that are drawn.
const MARKS_MAX: usize = 200;

/// An SVG document: operations a second served (and not served, in red) in steps of 100 ms, with a
/// line for each mark.
#[must_use]
pub fn plot(title: &str, measured: &Measured, marks: &[Mark]) -> String {
    let per_second = 1.0 / STEP.as_secs_f64();
    let served: Vec<f64> = (measured.steps.iter())
        .map(|(served, _)| f64::from(*served) * per_second)
        .collect();
    let failed: Vec<f64> = (measured.steps.iter())
        .map(|(_, failed)| f64::from(*failed) * per_second)
        .collect();
    let highest = served.iter().chain(&failed).copied().fold(1.0, f64::max);
    let scale = Scale {
        seconds: measured.length().as_secs_f64().max(STEP.as_secs_f64()),
        highest: ceiling(highest),
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    scale.axes(&mut svg);
    scale.line(&mut svg, &served, "#1f6fb2", true);
    if failed.iter().any(|rate| *rate > 0.0) {
        scale.line(&mut svg, &failed, "#c0392b", false);
    }
    for (number, mark) in marks.iter().take(MARKS_MAX).enumerate() {
        scale.mark(&mut svg, mark, number);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The next round number.
fn ceiling(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let round = steps.iter().map(|step| step * power);
    round
        .into_iter()
        .find(|round| *round >= value)
        .unwrap_or(value)
}

struct Scale {
    seconds: f64,
    highest: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, rate: f64) -> f64 {
        HEIGHT - BOTTOM - rate / self.highest * (HEIGHT - TOP - BOTTOM)
    }

    // Writing to a string does not fail, here and below.
    fn axes(&self, svg: &mut String) {
        let right = WIDTH - RIGHT;
        for part in 0..=4 {
            let rate = self.highest * f64::from(part) / 4.0;
            let y = self.y(rate);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{rate:.0}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let every = ceiling(self.seconds / 10.0);
        let mut seconds = 0.0;
        while seconds <= self.seconds {
            let (x, y) = (self.x(seconds), HEIGHT - BOTTOM);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{y}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#888\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                y + 5.0,
                y + 18.0,
                (seconds * 10.0).round() / 10.0
            );
            seconds += every;
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">seconds</text>\
             <text x=\"{LEFT}\" y=\"36\" fill=\"#1f6fb2\">operations a second, by 100 ms</text>\
             <text x=\"{:.1}\" y=\"36\" fill=\"#c0392b\">not served</text>",
            self.x(self.seconds / 2.0),
            HEIGHT - 8.0,
            LEFT + 200.0
        );
    }

    fn line(&self, svg: &mut String, rates: &[f64], colour: &str, filled: bool) {
        let step = STEP.as_secs_f64();
        let whole = (self.seconds / step).ceil() as usize;
        let mut points = String::new();
        for at in 0..whole {
            let rate = rates.get(at).copied().unwrap_or(0.0);
            let seconds = ((at as f64 + 0.5) * step).min(self.seconds);
            let _ = write!(points, "{:.1},{:.1} ", self.x(seconds), self.y(rate));
        }
        if filled {
            let (from, to, y) = (self.x(0.0), self.x(self.seconds), self.y(0.0));
            let _ = writeln!(
                svg,
                "<polygon points=\"{from:.1},{y:.1} {points}{to:.1},{y:.1}\" fill=\"{colour}\" \
                 fill-opacity=\"0.15\"/>"
            );
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\"/>",
            points.trim_end()
        );
    }

    fn mark(&self, svg: &mut String, mark: &Mark, number: usize) {
        if mark.at > Duration::from_secs_f64(self.seconds) {
            return;
        }
        let x = self.x(mark.at.as_secs_f64());
        let y = TOP - 10.0 + 12.0 * (number % 3) as f64;
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#555\" \
             stroke-dasharray=\"4 3\"/><text x=\"{:.1}\" y=\"{y:.1}\" fill=\"#333\">{}</text>",
            HEIGHT - BOTTOM,
            x + 3.0,
            escaped(&mark.label)
        );
    }
}

fn escaped(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::answer::Answer;
    use crate::measure::Operation;

    #[test]
    fn a_picture_has_every_step_and_mark_in_it() {
        let begin = Instant::now();
        let mut measured = Measured::new(begin, begin + Duration::from_secs(2));
        for at in 0..15 {
            let time = begin + STEP * at;
            for _ in 0..at {
                measured.add(Operation::Get, time, time, &Answer::Absent);
            }
        }
        let mark = |ms, label: &str| Mark {
            at: Duration::from_millis(ms),
            label: label.into(),
        };
        let marks = [mark(500, "kill <node-1>"), mark(2_500, "too late")];
        let svg = plot("a & b", &measured, &marks);
        let line = svg
            .lines()
            .find(|line| line.starts_with("<polyline"))
            .unwrap();
        let points = line.split('"').nth(1).unwrap();
        // 20 steps, of which the last five are at the bottom.
        assert_eq!(points.split(' ').count(), 20);
        assert_eq!(
            points
                .split(' ')
                .filter(|point| point.ends_with(",315.0"))
                .count(),
            6
        );
        assert!(svg.contains("kill &lt;node-1&gt;") && svg.contains("a &amp; b"));
        assert!(!svg.contains("too late"));
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, round) in [(1.0, 1.0), (11.0, 20.0), (21.0, 25.0), (30_001.0, 50_000.0)] {
            assert!(
                (ceiling(value) - round).abs() < 1e-6,
                "{value}: {}",
                ceiling(value)
            );
        }
    }
}
