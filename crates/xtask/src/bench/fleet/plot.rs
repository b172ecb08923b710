//! The plots of the page: bars on a logarithmic scale, since a tenth and a tenfold are both to be seen.

use plotters::prelude::*;

use super::Figures;
use super::idle::Idle;
use super::stats::{number, ratio};
use super::table::{middle, short};
use crate::error::TaskError;

const WIDTH: u32 = 900;
const ROW: u32 = 44;
/// Title, axis and margins.
const AROUND: u32 = 110;
/// Ours, and everybody else.
const OURS: RGBColor = RGBColor(0x2a, 0x6f, 0xb0);
const OTHERS: RGBColor = RGBColor(0xb8, 0xb8, 0xb8);

/// A bar with what it stands for.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    label: String,
    value: f64,
    ours: bool,
}

impl Bar {
    fn ours(label: impl Into<String>, value: Option<f64>) -> Option<Self> {
        Some(Self { label: label.into(), value: value.filter(|value| *value > 0.0)?, ours: true })
    }

    fn other(label: impl Into<String>, value: Option<f64>) -> Option<Self> {
        Self::ours(label, value).map(|bar| Self { ours: false, ..bar })
    }
}

/// File name, title and picture of each plot.
pub fn all(figures: &Figures) -> Result<Vec<(String, String, String)>, TaskError> {
    let mut plots = Vec::new();
    for idle in &figures.idle {
        let title = format!("Nothing to do, {} fractals: seconds until that is known", idle.fractals);
        plots.push((format!("fleet-wall-{}.svg", idle.fractals), title, walls(idle)));
    }
    if let Some(idle) = figures.idle.last() {
        let title =
            format!("Own CPU to find nothing to do, {} resources: milliseconds for each", idle.resources);
        plots.push(("fleet-cpu.svg".to_owned(), title, processor(figures, idle)));
    }
    let title = format!("Apply of {} new fractals: seconds", figures.applies.fractals);
    plots.push(("fleet-apply.svg".to_owned(), title, applies(figures)));
    let drawn = plots.into_iter().map(|(name, title, bars)| {
        let picture =
            draw(&title, &bars).map_err(|error| TaskError::Found(format!("draw {name}: {error}")))?;
        Ok((name, title, picture))
    });
    drawn.collect()
}

fn walls(idle: &Idle) -> Vec<Bar> {
    let rounds = &idle.rounds;
    let terraform: Vec<f64> = rounds.iter().filter_map(|round| Some(round.terraform?.wall)).collect();
    [
        Bar::ours("fraktalia plan", middle(rounds, |round| round.warm.taken.wall)),
        Bar::ours("fraktalia plan, cache lost", middle(rounds, |round| round.cold.taken.wall)),
        Bar::ours("fraktalia plan --refresh", middle(rounds, |round| round.refreshed.taken.wall)),
        Bar::other("bare client: one sliding sync", middle(rounds, |round| round.sliding.wall)),
        Bar::other("bare client: state of each room", middle(rounds, |round| round.each_room.wall)),
        Bar::other("terraform plan, no network", middle(&terraform, |wall| *wall)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn processor(figures: &Figures, idle: &Idle) -> Vec<Bar> {
    let each = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3 / number(idle.resources));
    let terraform: Vec<f64> = idle.rounds.iter().filter_map(|round| Some(round.terraform?.cpu)).collect();
    // Ansible has no resources; a fractal of its has as many as one of ours.
    let ansible = figures.idle.iter().find_map(|idle| idle.ansible.as_ref());
    let ansible = ansible.map(|played| played.taken.cpu / number(played.fractals) * number(idle.fractals));
    [
        Bar::ours("fraktalia plan", each(middle(&idle.rounds, |round| round.warm.taken.cpu))),
        Bar::ours("fraktalia plan, cache lost", each(middle(&idle.rounds, |round| round.cold.taken.cpu))),
        Bar::other("terraform plan", each(middle(&terraform, |cpu| *cpu))),
        Bar::other("Ansible, from a few fractals", each(ansible)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn applies(figures: &Figures) -> Vec<Bar> {
    let applies = &figures.applies;
    let floor = ratio(applies.rounds.iter().map(|(ours, bare)| (ours.taken.wall, bare.wall)));
    let times = floor.map(|floor| format!(", {}x", short(floor))).unwrap_or_default();
    let ours = middle(&applies.rounds, |(ours, _)| ours.taken.wall);
    let bare = middle(&applies.rounds, |(_, bare)| bare.wall);
    let bars =
        [Bar::ours(format!("fraktalia apply{times}"), ours), Bar::other("bare client: the same calls", bare)];
    bars.into_iter().flatten().collect()
}

/// Decades below the smallest and above the largest.
fn scale(bars: &[Bar]) -> (f64, f64) {
    let exponents = bars.iter().map(|bar| bar.value.log10());
    let (least, most) = super::stats::range(exponents).unwrap_or((-1.0, 1.0));
    let (from, to) = (least.floor(), most.ceil());
    let from = if least - from < 0.1 { from - 1.0 } else { from };
    (10f64.powf(from), 10f64.powf(to.max(from + 1.0)))
}

fn draw(title: &str, bars: &[Bar]) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    let rows = u32::try_from(bars.len())?;
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, AROUND + ROW * rows)).into_drawing_area();
        area.fill(&WHITE)?;
        let (from, to) = scale(bars);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(16)
            // Names are written on the bars, and figures behind them.
            .margin_right(90)
            .x_label_area_size(36)
            .build_cartesian_2d((from..to).log_scale(), 0.0..f64::from(rows))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(0xe4, 0xe4, 0xe4))
            .x_label_formatter(&|value| short(*value))
            .label_style(("sans-serif", 13))
            .draw()?;
        let positions = (1..=rows).rev().map(|row| f64::from(row) - 1.0);
        for (bar, bottom) in bars.iter().zip(positions) {
            let (bar_color, name_color) = if bar.ours { (OURS, OURS) } else { (OTHERS, BLACK) };
            let corners = [(from, bottom + 0.12), (bar.value, bottom + 0.5)];
            chart.draw_series([Rectangle::new(corners, bar_color.filled())])?;
            let name = format!("{}: {}", bar.label, short(bar.value));
            let style = ("sans-serif", 14).into_font().color(&name_color);
            chart.draw_series([Text::new(name, (from, bottom + 0.92), style)])?;
        }
        area.present()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_drawn_with_its_name_and_figure() {
        let bars: Vec<Bar> =
            [Bar::ours("ours", Some(0.05)), Bar::other("another", Some(12.0)), Bar::other("none", Some(0.0))]
                .into_iter()
                .flatten()
                .collect();
        assert_eq!(bars.len(), 2, "nothing has no place on a logarithmic scale");
        let picture = draw("A title", &bars).expect("drawn");
        for text in ["A title", "ours: 0.050", "another: 12.0"] {
            assert!(picture.contains(text), "{text} in\n{picture}");
        }
    }

    #[test]
    fn the_scale_has_whole_decades_around_all_bars() {
        let bar = |value| Bar { label: String::new(), value, ours: true };
        let (from, to) = scale(&[bar(0.05), bar(12.0)]);
        assert!((from - 0.01).abs() < 1e-9 && (to - 100.0).abs() < 1e-9);
    }
}
